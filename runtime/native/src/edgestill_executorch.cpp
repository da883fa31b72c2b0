// See edgestill_executorch.h. Only the SDK's low-level classes are used (Program, Method, loaders): they hand no C++
// containers across the border, and they leave every buffer's owner visible.

#include "edgestill_executorch.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include "log.h"
#include "tracer.h"

namespace executorch::extension::threadpool {
// The SDK ships the pool's library and its guard's header, but not the header of the pool itself. These are the
// functions that the library exports; the class is never made or copied here, so its layout does not matter.
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool *get_threadpool();
} // namespace executorch::extension::threadpool

namespace {

namespace et = ::executorch::runtime;
namespace threadpool = ::executorch::extension::threadpool;
using ::executorch::aten::Tensor;
using ::executorch::aten::TensorImpl;
using et::Error;
using et::EValue;
using et::Tag;

// Methods that hold a pointer into the pool.
std::atomic<int> pooled_methods{0};

int32_t code(Error error) {
  return error != Error::Ok ? static_cast<int32_t>(error) : edgestill::log_waits() ? ES_DONE_WITH_LOG : ES_DONE;
}

// No C++ exception may reach a C caller.
template <typename Function>
int32_t guarded(Function &&function) noexcept {
  try {
    return code(function());
  } catch (const std::bad_alloc &) {
    return code(Error::MemoryAllocationFailed);
  } catch (...) {
    return code(Error::Internal);
  }
}

struct Free {
  void operator()(void *memory) const { std::free(memory); }
};

// Keeps the calling thread from using the pool, if requested.
class MaybeAlone {
 public:
  explicit MaybeAlone(bool alone) {
    if (alone) guard_.emplace();
  }

 private:
  std::optional<threadpool::NoThreadPoolGuard> guard_;
};

} // namespace

// Counted, because methods keep it too and may be closed after it. (std::shared_ptr would ask for a newer glibc.)
struct es_program {
  std::unique_ptr<et::DataLoader> loader;
  std::unique_ptr<et::Program> program;
  std::atomic<int> users{1};

  void release() {
    if (--users == 0) delete this;
  }
};

struct es_method {
  // In the order in which each needs those before it.
  es_program *program = nullptr;
  std::vector<std::unique_ptr<void, Free>> buffers;
  std::vector<et::Span<uint8_t>> spans;
  std::unique_ptr<et::HierarchicalAllocator> planned;
  std::optional<edgestill::Tracer> tracer;
  ::executorch::extension::MallocMemoryAllocator allocator;
  ::executorch::extension::MallocMemoryAllocator temporary;
  std::unique_ptr<et::MemoryManager> manager;
  std::unique_ptr<et::Method> method;
  std::vector<es_info> inputs, outputs;
  uint64_t planned_bytes = 0;
  bool use_pool = true;
  bool check_finite = false;
  bool counted = false;

  ~es_method() {
    const MaybeAlone guard(!use_pool);
    method.reset();
    if (counted) --pooled_methods;
    if (program != nullptr) program->release();
  }
};

namespace {

es_kind kind_of(Tag tag) {
  switch (tag) {
    case Tag::Tensor: return ES_TENSOR;
    case Tag::Int: return ES_INT;
    case Tag::Double: return ES_DOUBLE;
    case Tag::Bool: return ES_BOOL;
    case Tag::None: return ES_NONE;
    default: return ES_OTHER;
  }
}

Error describe(const et::Result<Tag> &tag, const et::Result<et::TensorInfo> &tensor, es_info &info) {
  info = {};
  if (!tag.ok()) return tag.error();
  info.kind = kind_of(tag.get());
  if (info.kind != ES_TENSOR) return Error::Ok;
  if (!tensor.ok()) return tensor.error();
  const auto sizes = tensor->sizes();
  const auto order = tensor->dim_order();
  if (sizes.size() > ES_MAX_RANK || order.size() != sizes.size()) return Error::NotSupported;
  info.dtype = static_cast<int32_t>(tensor->scalar_type());
  info.rank = static_cast<int32_t>(sizes.size());
  info.dynamic = -1;
  info.planned = tensor->is_memory_planned();
  info.bytes = tensor->nbytes();
  std::copy(sizes.begin(), sizes.end(), info.sizes);
  std::copy(order.begin(), order.end(), info.dim_order);
  const auto name = tensor->name();
  std::copy_n(name.data(), std::min(name.size(), sizeof(info.name) - 1), info.name);
  return Error::Ok;
}

template <typename Loader>
Error open_program(std::unique_ptr<Loader> loader, es_program **program) {
  auto opened = std::make_unique<es_program>();
  opened->loader = std::move(loader);
  auto loaded = et::Program::load(opened->loader.get(), et::Program::Verification::InternalConsistency);
  if (!loaded.ok()) return loaded.error();
  opened->program = std::make_unique<et::Program>(std::move(loaded.get()));
  *program = opened.release();
  return Error::Ok;
}

Error plan_memory(es_method &method, const et::MethodMeta &meta) {
  for (size_t index = 0; index < meta.num_memory_planned_buffers(); ++index) {
    const auto size = meta.memory_planned_buffer_size(index);
    if (!size.ok()) return size.error();
    if (size.get() < 0) return Error::InvalidProgram;
    const auto bytes = static_cast<size_t>(size.get());
    // Zeroed, so that a file that reads what it never wrote at least reads the same each time.
    std::unique_ptr<void, Free> buffer(std::calloc(std::max<size_t>(bytes, 1), 1));
    if (!buffer) return Error::MemoryAllocationFailed;
    method.spans.emplace_back(static_cast<uint8_t *>(buffer.get()), bytes);
    method.buffers.push_back(std::move(buffer));
    method.planned_bytes += bytes;
  }
  method.planned = std::make_unique<et::HierarchicalAllocator>(
      et::Span<et::Span<uint8_t>>(method.spans.data(), method.spans.size()));
  method.manager = std::make_unique<et::MemoryManager>(&method.allocator, method.planned.get(), &method.temporary);
  return Error::Ok;
}

// Deprecated by the SDK in favour of MethodMeta, which does not know whether a shape is dynamic.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
const EValue &input_of(et::Method &method, size_t index) { return method.mutable_input(index); }
#pragma GCC diagnostic pop

int32_t is_dynamic(const EValue &value) {
  if (!value.isTensor()) return -1;
  return value.toTensor().unsafeGetTensorImpl()->shape_dynamism() != et::TensorShapeDynamism::STATIC;
}

Error describe_all(es_method &method) {
  const auto meta = method.method->method_meta();
  method.inputs.resize(meta.num_inputs());
  method.outputs.resize(meta.num_outputs());
  for (size_t index = 0; index < method.inputs.size(); ++index) {
    const auto tag = meta.input_tag(index);
    const auto error = describe(tag, meta.input_tensor_meta(index), method.inputs[index]);
    if (error != Error::Ok) return error;
    if (method.inputs[index].kind == ES_TENSOR) {
      method.inputs[index].dynamic = is_dynamic(input_of(*method.method, index));
    }
  }
  for (size_t index = 0; index < method.outputs.size(); ++index) {
    const auto error = describe(meta.output_tag(index), meta.output_tensor_meta(index), method.outputs[index]);
    if (error != Error::Ok) return error;
    if (method.outputs[index].kind == ES_TENSOR) {
      method.outputs[index].dynamic = is_dynamic(method.method->get_output(index));
    }
  }
  return Error::Ok;
}

// Strides follow from the sizes and the order of the axes, from the innermost to the outermost.
void strides_of(const es_info &info, const int32_t *sizes, int32_t *strides) {
  int32_t stride = 1;
  for (int32_t place = info.rank - 1; place >= 0; --place) {
    const int32_t axis = info.dim_order[place];
    strides[axis] = stride;
    stride *= std::max<int32_t>(sizes[axis], 1);
  }
}

Error set_input(es_method &method, size_t index, const es_value &value) {
  es_info &info = method.inputs[index];
  switch (info.kind) {
    case ES_TENSOR: {
      if (value.rank != info.rank) return Error::InvalidArgument;
      int32_t sizes[ES_MAX_RANK] = {}, strides[ES_MAX_RANK] = {};
      std::copy_n(value.sizes, info.rank, sizes);
      strides_of(info, sizes, strides);
      TensorImpl tensor(
          static_cast<::executorch::aten::ScalarType>(info.dtype), info.rank, sizes, value.data, info.dim_order,
          strides, et::TensorShapeDynamism::STATIC);
      // The method takes sizes and the address of the data; it keeps nothing of this stack.
      return method.method->set_input(EValue(Tensor(&tensor)), index);
    }
    case ES_INT: return method.method->set_input(EValue(value.integer), index);
    case ES_BOOL: return method.method->set_input(EValue(value.integer != 0), index);
    case ES_DOUBLE: return method.method->set_input(EValue(value.real), index);
    case ES_NONE: return Error::Ok;
    default: return Error::NotSupported;
  }
}

// IEEE 754: infinities and NaN are the numbers whose exponent is all ones.
template <typename Bits>
bool none_has_exponent(const void *values, size_t count, Bits exponent) {
  const auto *bits = static_cast<const Bits *>(values);
  Bits found = 0;
  for (size_t index = 0; index < count; ++index) found |= (bits[index] & exponent) == exponent;
  return found == 0;
}

bool all_finite(const EValue &value) {
  using ::executorch::aten::ScalarType;
  if (!value.isTensor()) return !value.isDouble() || std::isfinite(value.toDouble());
  const Tensor tensor = value.toTensor();
  const void *data = tensor.const_data_ptr();
  const auto count = static_cast<size_t>(tensor.numel());
  switch (tensor.scalar_type()) {
    case ScalarType::Half: return none_has_exponent<uint16_t>(data, count, 0x7c00);
    case ScalarType::Float: return none_has_exponent<uint32_t>(data, count, 0x7f800000);
    case ScalarType::Double: return none_has_exponent<uint64_t>(data, count, 0x7ff0000000000000);
    default: return true;
  }
}

Error get_output(es_method &method, size_t index, es_value &value) {
  const es_info &info = method.outputs[index];
  const EValue &result = method.method->get_output(index);
  switch (info.kind) {
    case ES_TENSOR: {
      if (!result.isTensor()) return Error::InvalidType;
      const Tensor &tensor = result.toTensor();
      const auto sizes = tensor.sizes();
      if (sizes.size() > ES_MAX_RANK) return Error::NotSupported;
      value.rank = static_cast<int32_t>(sizes.size());
      std::copy(sizes.begin(), sizes.end(), value.sizes);
      const size_t bytes = tensor.nbytes();
      if (value.data != nullptr && bytes > value.capacity) return Error::OutOfResources;
      const void *data = tensor.const_data_ptr();
      if (bytes != 0 && data == nullptr) return Error::InvalidState;
      if (value.data != nullptr && data != value.data && bytes != 0) std::memcpy(value.data, data, bytes);
      return Error::Ok;
    }
    case ES_INT:
      if (!result.isInt()) return Error::InvalidType;
      value.integer = result.toInt();
      return Error::Ok;
    case ES_BOOL:
      if (!result.isBool()) return Error::InvalidType;
      value.integer = result.toBool();
      return Error::Ok;
    case ES_DOUBLE:
      if (!result.isDouble()) return Error::InvalidType;
      value.real = result.toDouble();
      return Error::Ok;
    case ES_NONE: return Error::Ok;
    default: return Error::NotSupported;
  }
}

} // namespace

int32_t es_abi_version(void) { return ES_ABI_VERSION; }

void es_start(void) {
  edgestill::take_over_log();
  et::runtime_init();
}

int32_t es_take_log(char *text, size_t size) { return edgestill::take_line(text, size); }

int32_t es_get_threads(uint32_t *count) {
  return guarded([&] {
    auto *pool = threadpool::get_threadpool();
    *count = pool == nullptr ? 1 : static_cast<uint32_t>(pool->get_thread_count());
    return Error::Ok;
  });
}

int32_t es_set_threads(uint32_t count) {
  return guarded([&] {
    auto *pool = threadpool::get_threadpool();
    if (count == 0 || pool == nullptr) return Error::InvalidArgument;
    if (pool->get_thread_count() == count) return Error::Ok;
    if (pooled_methods != 0) return Error::InvalidState;
    return pool->_unsafe_reset_threadpool(count) ? Error::Ok : Error::Internal;
  });
}

int32_t es_program_open_file(const char *path, es_program **program) {
  using ::executorch::extension::MmapDataLoader;
  return guarded([&] {
    auto loader = MmapDataLoader::from(path, MmapDataLoader::MlockConfig::NoMlock);
    if (!loader.ok()) return loader.error();
    return open_program(std::make_unique<MmapDataLoader>(std::move(loader.get())), program);
  });
}

int32_t es_program_open_bytes(const void *data, size_t size, es_program **program) {
  using ::executorch::extension::BufferDataLoader;
  return guarded([&] { return open_program(std::make_unique<BufferDataLoader>(data, size), program); });
}

void es_program_close(es_program *program) { program->release(); }

size_t es_program_method_count(const es_program *program) { return program->program->num_methods(); }

const char *es_program_method_name(const es_program *program, size_t index) {
  const auto name = program->program->get_method_name(index);
  return name.ok() ? name.get() : nullptr;
}

int32_t es_method_open(
    es_program *program, const char *name, int32_t use_pool, int32_t check_finite, int32_t trace, es_method **method) {
  return guarded([&] {
    const MaybeAlone guard(use_pool == 0);
    auto opened = std::make_unique<es_method>();
    opened->use_pool = use_pool != 0;
    opened->check_finite = check_finite != 0;
    opened->program = program;
    ++program->users;
    const auto meta = program->program->method_meta(name);
    if (!meta.ok()) return meta.error();
    if (const auto error = plan_memory(*opened, meta.get()); error != Error::Ok) return error;
    if (trace != 0) opened->tracer.emplace();
    auto *tracer = opened->tracer ? &*opened->tracer : nullptr;
    auto loaded = program->program->load_method(name, opened->manager.get(), tracer);
    if (!loaded.ok()) return loaded.error();
    opened->method = std::make_unique<et::Method>(std::move(loaded.get()));
    if (const auto error = describe_all(*opened); error != Error::Ok) return error;
    if (opened->tracer) opened->tracer->clear(); // the events of loading
    opened->counted = opened->use_pool;
    if (opened->counted) ++pooled_methods;
    *method = opened.release();
    return Error::Ok;
  });
}

void es_method_close(es_method *method) { delete method; }

size_t es_method_input_count(const es_method *method) { return method->inputs.size(); }

size_t es_method_output_count(const es_method *method) { return method->outputs.size(); }

int32_t es_method_input(const es_method *method, size_t index, es_info *info) {
  if (index >= method->inputs.size()) return static_cast<int32_t>(Error::NotFound);
  *info = method->inputs[index];
  return ES_DONE;
}

int32_t es_method_output(const es_method *method, size_t index, es_info *info) {
  if (index >= method->outputs.size()) return static_cast<int32_t>(Error::NotFound);
  *info = method->outputs[index];
  return ES_DONE;
}

const void *es_method_output_data(const es_method *method, size_t index) {
  if (index >= method->outputs.size()) return nullptr;
  const es_info &info = method->outputs[index];
  const EValue &value = method->method->get_output(index);
  return info.kind == ES_TENSOR && info.planned && value.isTensor() ? value.toTensor().const_data_ptr() : nullptr;
}

uint64_t es_method_planned_bytes(const es_method *method) { return method->planned_bytes; }

int32_t es_method_run(es_method *method, const es_value *inputs, es_value *outputs) {
  bool finite = true;
  const int32_t result = guarded([&] {
    const MaybeAlone guard(!method->use_pool);
    for (size_t index = 0; index < method->inputs.size(); ++index) {
      if (const auto error = set_input(*method, index, inputs[index]); error != Error::Ok) return error;
      // Here, where a planned input was just copied and is still in the cache, the look costs least.
      finite = finite && (!method->check_finite || all_finite(input_of(*method->method, index)));
    }
    if (!finite) return Error::Ok;
    if (method->tracer) method->tracer->clear();
    for (size_t index = 0; index < method->outputs.size(); ++index) {
      const es_info &info = method->outputs[index];
      if (info.kind != ES_TENSOR || info.planned) continue;
      // Set for every call: the memory of the last call's caller may be gone.
      const auto error = method->method->set_output_data_ptr(outputs[index].data, outputs[index].capacity, index);
      if (error != Error::Ok) return error;
    }
    if (const auto error = method->method->execute(); error != Error::Ok) return error;
    for (size_t index = 0; index < method->outputs.size(); ++index) {
      if (const auto error = get_output(*method, index, outputs[index]); error != Error::Ok) return error;
    }
    return Error::Ok;
  });
  return finite ? result : ES_NOT_FINITE;
}

size_t es_method_event_count(const es_method *method) { return method->tracer ? method->tracer->events().size() : 0; }

int32_t es_method_event(const es_method *method, size_t index, es_event *event) {
  if (index >= es_method_event_count(method)) return static_cast<int32_t>(Error::NotFound);
  const auto &kept = method->tracer->events()[index];
  const auto nanoseconds = [ratio = et::pal_ticks_to_ns_multiplier()](uint64_t ticks) {
    return ticks * ratio.numerator / ratio.denominator;
  };
  *event = {};
  event->start_ns = nanoseconds(kept.start);
  event->duration_ns = nanoseconds(kept.end) - event->start_ns;
  event->delegated = kept.delegated;
  std::copy_n(kept.name.data(), std::min(kept.name.size(), sizeof(event->name) - 1), event->name);
  return ES_DONE;
}
