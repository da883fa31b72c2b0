/* A plugin for qemu that counts the instructions a program executes.
 *
 * At the system call 4242, which Linux does not have, it writes a line "ARGUMENT COUNT" to the file given as out=…, so that a
 * program can mark two places and have what lies between them counted. QEMU's plugin interface, version 1 (QEMU 4.2 to 8.1,
 * "QEMU TCG Plugins"); Debian ships no header for it, so what is needed of it is declared here.
 *
 *     gcc -O2 -shared -fPIC -o instructions.so instructions.c
 *     qemu-aarch64 -plugin instructions.so,out=counts.txt PROGRAM
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MARK 4242
#define PUBLIC __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct block;
enum operation { ADD_U64 };

size_t qemu_plugin_tb_n_insns(const struct block *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, enum operation, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

PUBLIC int qemu_plugin_version = 1;
static uint64_t executed;
static FILE *out;

/* Once for each block of code that qemu translates: add its length whenever it runs. */
static void translated(plugin_id id, struct block *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != MARK) return;
    fprintf(out, "%llu %llu\n", (unsigned long long)first, (unsigned long long)executed);
    fflush(out);
}

PUBLIC int qemu_plugin_install(plugin_id id, const void *info, int count, char **options) {
    (void)info;
    out = stderr;
    for (int place = 0; place < count; place++) {
        if (strncmp(options[place], "out=", 4) == 0) out = fopen(options[place] + 4, "w");
    }
    if (out == NULL) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
