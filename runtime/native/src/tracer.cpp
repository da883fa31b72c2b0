#include "tracer.h"

#include <utility>

#include <executorch/runtime/platform/platform.h>

namespace edgestill {

using namespace ::executorch::runtime;

EventTracerEntry Tracer::begin(std::string name, bool delegated) {
  EventTracerEntry entry{};
  entry.event_id = static_cast<int64_t>(events_.size());
  events_.push_back({std::move(name), delegated, 0, 0});
  // Last, so that keeping the name is not counted.
  events_.back().start = pal_current_ticks();
  return entry;
}

void Tracer::finish(const EventTracerEntry &entry) {
  const auto now = pal_current_ticks();
  events_.at(static_cast<size_t>(entry.event_id)).end = now;
}

void Tracer::log_profiling_delegate(
    const char *name, Index index, et_timestamp_t start, et_timestamp_t end, const void *, size_t) {
  events_.push_back({named(name, index), true, start, end});
}

} // namespace edgestill
