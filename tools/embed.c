/* SPDX-License-Identifier: MIT
 *
 * embed - writes the files of a directory as C: `embed OUT.c DIRECTORY` makes the table of struct
 * tidings_page that server/assets.h declares. Runs on the machine that builds.
 *
 *     index.html    /                client.html  /client
 *     assets/x.js   /assets/x.js     (immutable: Vite puts a hash of the content into the name)
 *     NAME.html     /NAME            other        /other
 *
 * Names are sorted and nothing depends on times, so that the same files give the same bytes. A gzip copy is
 * made when zlib is there and the copy is smaller.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef EMBED_ZLIB
#include <zlib.h>
#endif

#define FILES_MAX 512
#define PATH_SIZE 1024

struct blob {
    unsigned char *bytes;
    size_t len;
};

/* Names relative to the directory. */
struct names {
    char *items[FILES_MAX];
    size_t count;
};

struct kind {
    const char *suffix;
    const char *content_type;
    bool compress;
};

static const struct kind kinds[] = {
    {".html", "text/html; charset=utf-8", true},
    {".js", "text/javascript; charset=utf-8", true},
    {".mjs", "text/javascript; charset=utf-8", true},
    {".css", "text/css; charset=utf-8", true},
    {".json", "application/json", true},
    {".webmanifest", "application/manifest+json", true},
    {".svg", "image/svg+xml", true},
    {".txt", "text/plain; charset=utf-8", true},
    {".ico", "image/vnd.microsoft.icon", false},
    {".png", "image/png", false},
    {".webp", "image/webp", false},
    {".woff2", "font/woff2", false},
    {"", "application/octet-stream", false},
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;

    fputs("embed: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void *need(void *memory)
{
    if (!memory)
        fail("out of memory");
    return memory;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* ------------------------------------------------------------------ reading */

static void join(char *out, const char *directory, const char *name)
{
    int n = snprintf(out, PATH_SIZE, "%s%s%s", directory, directory[0] ? "/" : "", name);

    if (n < 0 || n >= PATH_SIZE)
        fail("%s: the path is too long", name);
}

/* Collects the files below root/below; source maps and hidden files stay out. */
static void collect(struct names *names, const char *root, const char *below)
{
    char directory[PATH_SIZE], full[PATH_SIZE], relative[PATH_SIZE];
    struct dirent *entry;
    struct stat info;
    DIR *dir;

    join(directory, root, below);
    dir = opendir(directory);
    if (!dir)
        fail("%s: %s", directory, strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || ends_with(entry->d_name, ".map"))
            continue;
        join(relative, below, entry->d_name);
        join(full, root, relative);
        if (stat(full, &info) != 0)
            fail("%s: %s", full, strerror(errno));
        if (S_ISDIR(info.st_mode))
            collect(names, root, relative);
        else if (names->count == FILES_MAX)
            fail("more than %d files", FILES_MAX);
        else
            names->items[names->count++] = need(strdup(relative));
    }
    closedir(dir);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct blob read_blob(const char *path)
{
    struct blob blob = {0};
    size_t room = 0, n;
    FILE *file = fopen(path, "rb");

    if (!file)
        fail("%s: %s", path, strerror(errno));
    do {
        room = room ? room * 2 : 65536;
        blob.bytes = need(realloc(blob.bytes, room));
        n = fread(blob.bytes + blob.len, 1, room - blob.len, file);
        blob.len += n;
    } while (blob.len == room);
    if (ferror(file))
        fail("%s: cannot be read", path);
    fclose(file);
    return blob;
}

/* The gzip copy; empty without zlib or if it would not be smaller. */
static struct blob compress_blob(struct blob body)
{
    struct blob out = {0};
#ifdef EMBED_ZLIB
    z_stream stream;

    memset(&stream, 0, sizeof stream);
    /* 15 + 16: gzip framing; zlib writes no name and no time of its own. */
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        fail("zlib cannot start");
    out.len = deflateBound(&stream, body.len);
    out.bytes = need(malloc(out.len));
    stream.next_in = body.bytes;
    stream.avail_in = (uInt)body.len;
    stream.next_out = out.bytes;
    stream.avail_out = (uInt)out.len;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        fail("zlib failed");
    out.len = stream.total_out;
    deflateEnd(&stream);
    if (out.len >= body.len) {
        free(out.bytes);
        out = (struct blob){0};
    }
#else
    (void)body;
#endif
    return out;
}

/* ------------------------------------------------------------------ writing */

/* FNV-1a: an ETag has to differ when the content does, not to resist an attacker. */
static uint64_t hash(struct blob blob)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < blob.len; i++)
        h = (h ^ blob.bytes[i]) * UINT64_C(1099511628211);
    return h;
}

static void write_bytes(FILE *out, const char *name, size_t index, struct blob blob)
{
    fprintf(out, "static const unsigned char %s_%zu[] = {", name, index);
    for (size_t i = 0; i < blob.len; i++)
        fprintf(out, "%s%u,", i % 24 == 0 ? "\n    " : "", blob.bytes[i]);
    fprintf(out, "%s\n};\n", blob.len ? "" : "0");
}

/* The path under which the hub serves the file. */
static void write_path(FILE *out, const char *name)
{
    size_t len = strlen(name);

    if (strcmp(name, "index.html") == 0)
        len = 0;
    else if (ends_with(name, ".html"))
        len -= strlen(".html");
    fprintf(out, "\"/%.*s\"", (int)len, name);
}

static const struct kind *kind_of(const char *name)
{
    const struct kind *kind = kinds;

    while (!ends_with(name, kind->suffix))
        kind++;
    return kind;
}

/* Writes the bytes of file i and its row into the text of the table. */
static void write_file(FILE *out, FILE *table, const char *root, const char *name, size_t i)
{
    const struct kind *kind = kind_of(name);
    char path[PATH_SIZE];
    struct blob body, gzip = {0};

    if (strpbrk(name, "\"\\") != NULL)
        fail("%s: quotes and backslashes cannot stand in a path", name);
    join(path, root, name);
    body = read_blob(path);
    if (kind->compress)
        gzip = compress_blob(body);
    write_bytes(out, "body", i, body);
    if (gzip.len)
        write_bytes(out, "gzip", i, gzip);
    fputs("    {.path = ", table);
    write_path(table, name);
    fprintf(table, ", .content_type = \"%s\", .body = body_%zu, .body_len = %zu", kind->content_type, i,
            body.len);
    if (gzip.len)
        fprintf(table, ", .gzip = gzip_%zu, .gzip_len = %zu", i, gzip.len);
    fprintf(table, ", .etag = \"\\\"%016" PRIx64 "\\\"\", .immutable = %s},\n", hash(body),
            strncmp(name, "assets/", 7) == 0 ? "true" : "false");
    free(body.bytes);
    free(gzip.bytes);
}

int main(int argc, char **argv)
{
    struct names names = {.count = 0};
    char *table_text = NULL;
    size_t table_len = 0;
    FILE *out, *table;

    if (argc != 3)
        fail("usage: embed OUT.c DIRECTORY");
    collect(&names, argv[2], "");
    if (names.count == 0)
        fail("%s: no files", argv[2]);
    qsort(names.items, names.count, sizeof *names.items, compare);
    out = need(fopen(argv[1], "w"));
    table = need(open_memstream(&table_text, &table_len));
    fputs("/* Written by tools/embed.c. */\n#include \"assets.h\"\n\n", out);
    for (size_t i = 0; i < names.count; i++) {
        write_file(out, table, argv[2], names.items[i], i);
        free(names.items[i]);
    }
    fclose(table);
    fprintf(out, "\nconst struct tidings_page assets_data[] = {\n%s};\n", table_text);
    fprintf(out, "const size_t assets_data_count = sizeof assets_data / sizeof *assets_data;\n");
    free(table_text);
    if (ferror(out) || fclose(out) != 0)
        fail("%s: cannot be written", argv[1]);
    return 0;
}
