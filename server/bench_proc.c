/* SPDX-License-Identifier: MIT
 *
 * What /proc knows of the processes under test. A server may have several (nginx with its workers): their
 * numbers are added.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Reads a small file of /proc; false if it cannot be read. */
static bool read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t n;

    if (!file)
        return false;
    n = fread(out, 1, size - 1, file);
    out[n] = '\0';
    fclose(file);
    return n > 0;
}

/* proc(5): utime and stime are fields 14 and 15; the name in field 2 may hold anything but ends in the last
 * ')'. */
static double cpu_of(uint64_t pid)
{
    char path[64], text[2048];
    const char *p;
    uint64_t user, kernel;

    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    if (!read_file(path, text, sizeof text) || !(p = strrchr(text, ')')))
        return 0;
    if (sscanf(p + 1, " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64, &user, &kernel) !=
        2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

double bench_server_cpu(const struct bench *bench)
{
    double sum = bench->pid_count ? 0 : -1;

    for (size_t i = 0; i < bench->pid_count; i++)
        sum += cpu_of(bench->pids[i]);
    return sum;
}

double bench_own_cpu(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* The number behind `name` in text, 0 if it is not there. */
static double number_after(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    uint64_t number;

    return p && sscanf(p + strlen(name), " %" SCNu64, &number) == 1 ? (double)number : 0;
}

void bench_memory_read(const struct bench *bench, struct bench_memory *memory)
{
    char path[64], text[4096];

    memory->rss = memory->anonymous = bench->pid_count ? 0 : -1;
    for (size_t i = 0; i < bench->pid_count; i++) {
        snprintf(path, sizeof path, "/proc/%" PRIu64 "/smaps_rollup", bench->pids[i]);
        if (!read_file(path, text, sizeof text))
            continue;
        memory->rss += number_after(text, "\nRss:") * 1024;
        memory->anonymous += number_after(text, "\nAnonymous:") * 1024;
    }
    memory->kernel_tcp = -1;
    if (read_file("/proc/net/sockstat", text, sizeof text))
        memory->kernel_tcp = number_after(strstr(text, "TCP:") ? strstr(text, "TCP:") : "", " mem") *
                             (double)sysconf(_SC_PAGESIZE);
}
