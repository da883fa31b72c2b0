// The events of a method's last run: what the SDK, its kernels and its backends say that they spent their time on.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <executorch/runtime/core/event_tracer.h>

namespace edgestill {

class Tracer final : public ::executorch::runtime::EventTracer {
  using Entry = ::executorch::runtime::EventTracerEntry;
  using Chain = ::executorch::runtime::ChainID;
  using Handle = ::executorch::runtime::DebugHandle;
  using Index = ::executorch::runtime::DelegateDebugIntId;
  using Allocator = ::executorch::runtime::AllocatorID;
  using Logged = ::executorch::runtime::Result<bool>;
  using Value = ::executorch::runtime::EValue;
  using Tensor = ::executorch::aten::Tensor;
  using Tensors = ::executorch::runtime::ArrayRef<Tensor>;

 public:
  struct Event {
    std::string name;
    bool delegated; // said by a backend of a part that it was given
    uint64_t start, end; // ticks
  };

  const std::vector<Event> &events() const { return events_; }
  void clear() { events_.clear(); }

  // The part of the interface for times. A backend may number its events instead of naming them.
  void create_event_block(const char *) override {}
  Entry start_profiling(const char *name, Chain, Handle) override { return begin(name, false); }
  void end_profiling(Entry entry) override { finish(entry); }
  Entry start_profiling_delegate(const char *name, Index index) override { return begin(named(name, index), true); }
  void end_profiling_delegate(Entry entry, const void *, size_t) override { finish(entry); }
  void log_profiling_delegate(
      const char *name, Index index, et_timestamp_t start, et_timestamp_t end, const void *, size_t) override;

  // The part of the interface for values, which is not used.
  void track_allocation(Allocator, size_t) override {}
  Allocator track_allocator(const char *) override { return 0; }
  Logged log_evalue(const Value &, ::executorch::runtime::LoggedEValueType) override { return false; }
  Logged log_intermediate_output_delegate(const char *, Index, const Tensor &) override { return false; }
  Logged log_intermediate_output_delegate(const char *, Index, const Tensors) override { return false; }
  Logged log_intermediate_output_delegate(const char *, Index, const int &) override { return false; }
  Logged log_intermediate_output_delegate(const char *, Index, const bool &) override { return false; }
  Logged log_intermediate_output_delegate(const char *, Index, const double &) override { return false; }
  void set_delegation_intermediate_output_filter(::executorch::runtime::EventTracerFilterBase *) override {}

 private:
  static std::string named(const char *name, Index index) { return name ? name : "number " + std::to_string(index); }
  Entry begin(std::string name, bool delegated);
  void finish(const Entry &entry);

  std::vector<Event> events_;
};

} // namespace edgestill
