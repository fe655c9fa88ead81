/* SPDX-License-Identifier: MIT
 *
 * replay FILE|DIRECTORY... - runs files, and the files of directories, through a fuzz target without a
 * fuzzer, so that a corpus is also an ordinary test with any compiler. Fails if there was nothing to run.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int complain(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    return -1;
}

/* 1 file that ran, or -1. The bytes lie in a block of exactly their size, where a checker sees over-reads. */
static int run_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    int result = -1;

    if (file && data && fread(data, 1, size, file) == size) {
        LLVMFuzzerTestOneInput(data, size);
        result = 1;
    } else {
        complain(path);
    }
    if (file)
        fclose(file);
    free(data);
    return result;
}

static int run(const char *path);

/* The number of files that ran, or -1. */
static int run_directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0, n = 0;

    if (!dir)
        return complain(path);
    while (n >= 0 && (entry = readdir(dir))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        n = run(name);
        count += n;
    }
    closedir(dir);
    return n < 0 ? -1 : count;
}

static int run(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return complain(path);
    return S_ISDIR(st.st_mode) ? run_directory(path) : run_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        int n = run(argv[i]);

        if (n < 0)
            return 1;
        count += n;
    }
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
