// A C ABI over ExecuTorch's C++ SDK: what Python's ctypes, or any other language, can call.
//
// Every function that can fail returns a code: 0 is done, a positive one is executorch::runtime::Error, and
// ES_DONE_WITH_LOG is done with lines waiting in es_take_log; ES_NOT_FINITE is refused. Handles belong to the caller until they are closed.
// A method is not reentrant: one call at a time; different methods may run in different threads.

#ifndef EDGESTILL_EXECUTORCH_H
#define EDGESTILL_EXECUTORCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ES_API __attribute__((visibility("default")))
#define ES_MAX_RANK 16
#define ES_ABI_VERSION 2

enum { ES_DONE = 0, ES_DONE_WITH_LOG = -1, ES_NOT_FINITE = -2 };

typedef struct es_program es_program;
typedef struct es_method es_method;

typedef enum { ES_TENSOR, ES_INT, ES_DOUBLE, ES_BOOL, ES_NONE, ES_OTHER } es_kind;

// The description of one input or output of a method.
typedef struct {
  int32_t kind;                      // es_kind; the rest is for tensors
  int32_t dtype;                     // c10::ScalarType
  int32_t rank;                      // 0 to ES_MAX_RANK
  int32_t dynamic;                   // 1: the sizes may shrink from call to call, 0: they may not, -1: it is not known
  int32_t planned;                   // 1: the memory is inside the method's own plan, so data are copied there
  int32_t sizes[ES_MAX_RANK];        // of a dynamic tensor: the upper bounds
  uint8_t dim_order[ES_MAX_RANK];    // axes from the outermost to the innermost in memory
  uint64_t bytes;                    // at these sizes
  char name[64];                     // empty when the file gives none, cut when it is longer
} es_info;

// A value on its way in or out.
typedef struct {
  void *data;                        // tensor: caller-owned memory, in the tensor's dim_order; NULL for an output
                                     // that is planned leaves it where es_method_output_data says
  uint64_t capacity;                 // bytes that `data` has room for
  int64_t integer;                   // ES_INT and ES_BOOL
  double real;                       // ES_DOUBLE
  int32_t rank;
  int32_t sizes[ES_MAX_RANK];        // in: as given; out: as computed
} es_value;

// Something that a run spent its time on. Events nest: a backend's are inside the one of its call.
typedef struct {
  uint64_t start_ns, duration_ns;    // the start by a clock that only the events of one process share
  int32_t delegated;                 // 1: said by a backend of what is inside its part of the method
  char name[128];                    // cut when it is longer
} es_event;

ES_API int32_t es_abi_version(void);

// Take over the SDK's log, which would go to standard error. Before the libraries with kernels and backends are loaded.
ES_API void es_start(void);

// Oldest line that waits: its level ('D', 'I', 'E', 'F', '?') is returned and its text written with a final zero;
// 0 when none waits.
ES_API int32_t es_take_log(char *text, size_t size);

// Threads in the process's pool.
ES_API int32_t es_get_threads(uint32_t *count);
// InvalidState while a method that was opened with the pool is open: it would be left with a pool that is gone.
ES_API int32_t es_set_threads(uint32_t count);

// From a path (memory-mapped), or from bytes that the caller keeps alive, 16-byte aligned, until the program and its
// methods are closed.
ES_API int32_t es_program_open_file(const char *path, es_program **program);
ES_API int32_t es_program_open_bytes(const void *data, size_t size, es_program **program);
ES_API void es_program_close(es_program *program);
ES_API size_t es_program_method_count(const es_program *program);
// NULL past the end; valid while the program is open.
ES_API const char *es_program_method_name(const es_program *program, size_t index);

// use_pool 0: the method runs on the thread that calls it, whatever the pool's size.
// check_finite 1: es_method_run refuses NaN and infinity in floating inputs before it executes anything.
// trace 1: every run keeps its events, which costs time.
ES_API int32_t es_method_open(
    es_program *program, const char *name, int32_t use_pool, int32_t check_finite, int32_t trace, es_method **method);
ES_API void es_method_close(es_method *method);
ES_API size_t es_method_input_count(const es_method *method);
ES_API size_t es_method_output_count(const es_method *method);
ES_API int32_t es_method_input(const es_method *method, size_t index, es_info *info);
ES_API int32_t es_method_output(const es_method *method, size_t index, es_info *info);
// Where a planned output lies, the same for every call and overwritten by the next; NULL for one that is not planned.
ES_API const void *es_method_output_data(const es_method *method, size_t index);
// Bytes of the method's memory plan, which is held while it is open.
ES_API uint64_t es_method_planned_bytes(const es_method *method);

// One value for every input and output. Inputs are not copied by this call; outputs end in the caller's memory.
ES_API int32_t es_method_run(es_method *method, const es_value *inputs, es_value *outputs);

// Events of the last run of a method that was opened with trace, in the order in which they began.
ES_API size_t es_method_event_count(const es_method *method);
ES_API int32_t es_method_event(const es_method *method, size_t index, es_event *event);

#ifdef __cplusplus
}
#endif
#endif
