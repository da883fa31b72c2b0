/* What Android's C library has and glibc has not, so that an Android library of x86-64 can be loaded by a desktop JVM.
 *
 * Loaded first (System.loadLibrary("host")), it opens the libraries beside it with RTLD_DEEPBIND: their symbols are
 * looked up in themselves and in this file before anything that the JVM has already loaded, above all its own unwinder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <jni.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const LIBRARIES[] = {"libc++_shared.so", "libfbjni.so", "libexecutorch.so"};

JNIEXPORT jint JNI_OnLoad(JavaVM *vm, void *reserved) {
  (void)vm, (void)reserved;
  Dl_info own;
  char path[4096];
  dladdr((void *)JNI_OnLoad, &own);
  const int folder = (int)(strrchr(own.dli_fname, '/') - own.dli_fname);
  for (size_t i = 0; i < sizeof LIBRARIES / sizeof *LIBRARIES; i++) {
    snprintf(path, sizeof path, "%.*s/%s", folder, own.dli_fname, LIBRARIES[i]);
    if (!dlopen(path, RTLD_NOW | RTLD_DEEPBIND)) {
      fprintf(stderr, "%s\n", dlerror());
      return JNI_ERR;
    }
  }
  return JNI_VERSION_1_6;
}

/* errno, and messages. */
int *__errno(void) { return __errno_location(); }
char *__gnu_strerror_r(int error, char *buffer, size_t size) { return strerror_r(error, buffer, size); }
void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

void __assert2(const char *file, int line, const char *function, const char *message) {
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, message);
  abort();
}

int __android_log_write(int priority, const char *tag, const char *text) {
  return priority < 5 ? 0 : fprintf(stderr, "[%s] %s\n", tag, text); /* warnings and worse */
}

int __android_log_vprint(int priority, const char *tag, const char *format, va_list values) {
  char text[1024];
  vsnprintf(text, sizeof text, format, values);
  return __android_log_write(priority, tag, text);
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  const int done = __android_log_vprint(priority, tag, format, values);
  va_end(values);
  return done;
}

void __android_log_assert(const char *condition, const char *tag, const char *format, ...) {
  (void)condition;
  va_list values;
  va_start(values, format);
  __android_log_vprint(7, tag, format, values);
  va_end(values);
  abort();
}

/* Android's numbers of what sysconf is asked. */
long sysconf(int name) {
  static long (*other)(int);
  if (!other) *(void **)&other = dlsym(RTLD_NEXT, "sysconf");
  switch (name) {
    case 39: case 40: return other(_SC_PAGESIZE);
    case 96: return other(_SC_NPROCESSORS_CONF);
    case 97: return other(_SC_NPROCESSORS_ONLN);
    default: errno = EINVAL; return -1;
  }
}

/* Android's standard streams are the places of an array. */
char __sF[3][152];

static FILE *stream(FILE *file) {
  FILE *const real[] = {stdin, stdout, stderr};
  for (int i = 0; i < 3; i++)
    if ((char *)file == __sF[i]) return real[i];
  return file;
}

int fflush(FILE *file) { return fflush_unlocked(stream(file)); }
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  return fwrite_unlocked(data, size, count, stream(file));
}

/* Checked forms of plain functions, and what only Android or a coverage build has. */
size_t __strlen_chk(const char *text, size_t size) { (void)size; return strlen(text); }
char *__strchr_chk(const char *text, int letter, size_t size) { (void)size; return strchr(text, letter); }
char *__strrchr_chk(const char *text, int letter, size_t size) { (void)size; return strrchr(text, letter); }
ssize_t __write_chk(int file, const void *data, size_t count, size_t size) { (void)size; return write(file, data, count); }
int __system_property_get(const char *name, char *value) { (void)name; *value = 0; return 0; }
void __gcov_dump(void) {}
void __gcov_flush(void) {}
