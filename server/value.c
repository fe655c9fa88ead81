/* SPDX-License-Identifier: MIT
 *
 * The written forms of settings. A number is digits only: strtoul() would take " -1" for a huge limit, and a
 * limit that is silently not what was written is worse than a start that is refused.
 *
 * This room knows nothing of ranges; settings.c and options.c check those, because only they can name the
 * culprit.
 */
#include "value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <tidings.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", UINT64_C(60000)}, {"h", UINT64_C(3600000)}, {"", 1000}};

static const struct unit size_units[] = {{"KiB", 1024}, {"MiB", UINT64_C(1048576)}, {"", 1}};

/* Reads digits from *text, moves it behind them. */
static bool read_digits(const char **text, uint64_t *out)
{
    const char *p = *text;
    uint64_t number = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (p == *text)
        return false;
    *text = p;
    *out = number;
    return true;
}

static bool read_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    uint64_t number;

    if (!read_digits(&text, &number))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].suffix) != 0)
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return false;
        *out = number * units[i].factor;
        return true;
    }
    return false;
}

bool value_count(const char *text, uint64_t *out)
{
    uint64_t number;

    if (!read_digits(&text, &number) || *text != '\0')
        return false;
    *out = number;
    return true;
}

bool value_duration(const char *text, uint64_t *out)
{
    return read_with_unit(text, duration_units, sizeof duration_units / sizeof *duration_units, out);
}

bool value_size(const char *text, uint64_t *out)
{
    return read_with_unit(text, size_units, sizeof size_units / sizeof *size_units, out);
}

bool value_flag(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool is_loopback4(const char *host, bool *loopback)
{
    struct in_addr address;

    if (inet_pton(AF_INET, host, &address) != 1)
        return false;
    *loopback = (ntohl(address.s_addr) >> 24) == 127;
    return true;
}

static bool is_loopback6(const char *host, bool *loopback)
{
    struct in6_addr address;

    if (inet_pton(AF_INET6, host, &address) != 1)
        return false;
    *loopback = IN6_IS_ADDR_LOOPBACK(&address);
    return true;
}

static bool is_host(char *host, bool *loopback)
{
    size_t len = strlen(host);

    if (strcmp(host, "localhost") == 0) {
        *loopback = true;
        return true;
    }
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return is_loopback6(host + 1, loopback);
    }
    return is_loopback4(host, loopback);
}

bool value_address(const char *text, bool *loopback)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 3];
    uint64_t port;

    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0) {
        text = strchr(text, '/') + 2;
        if (strncmp(text, "unix:", 5) == 0)
            return false;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        size_t len = strlen(text + 5);
        if (len == 0 || len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return false;
        *loopback = true;
        return true;
    }
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    if (!value_count(colon + 1, &port) || port > 65535)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    return is_host(host, loopback);
}

bool value_host(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    bool loopback;
    char copy[INET6_ADDRSTRLEN + 3];
    size_t len = strlen(text);

    if (strcmp(text, "*") == 0)
        return true;
    if (len > 0 && len <= 253 && strspn(text, allowed) == len)
        return true;
    if (text[0] != '[' || len >= sizeof copy)
        return false;
    memcpy(copy, text, len + 1);
    return is_host(copy, &loopback);
}

bool value_store(const char *text)
{
    return strcmp(text, "memory") == 0 || (strncmp(text, "sqlite:", 7) == 0 && text[7] != '\0');
}

bool value_key(const char *text)
{
    const char *const keys[] = {text, NULL};
    const char *field;
    struct tidings_config config;

    tidings_config_init(&config);
    config.publish_keys = keys;
    return tidings_config_check(&config, &field) == 0;
}

bool value_url(const char *text)
{
    const char *field;
    struct tidings_config config;

    tidings_config_init(&config);
    config.event_url = text;
    return tidings_config_check(&config, &field) == 0;
}

bool value_network(const char *text)
{
    const char *const networks[] = {text, NULL};
    const char *field;
    struct tidings_config config;

    tidings_config_init(&config);
    config.trusted_proxies = networks;
    return tidings_config_check(&config, &field) == 0;
}

bool value_origin(const char *text)
{
    const char *const origins[] = {text, NULL};
    const char *field;
    struct tidings_config config;

    tidings_config_init(&config);
    config.cors_origins = origins;
    return tidings_config_check(&config, &field) == 0;
}

void value_print_duration(char *out, size_t size, uint64_t ms)
{
    static const struct unit units[] = {{"h", UINT64_C(3600000)}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

    if (ms == 0) {
        snprintf(out, size, "0");
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (ms % units[i].factor == 0) {
            snprintf(out, size, "%" PRIu64 "%s", ms / units[i].factor, units[i].suffix);
            return;
        }
    }
}

void value_print_size(char *out, size_t size, uint64_t bytes)
{
    if (bytes != 0 && bytes % 1048576 == 0)
        snprintf(out, size, "%" PRIu64 "MiB", bytes / 1048576);
    else if (bytes != 0 && bytes % 1024 == 0)
        snprintf(out, size, "%" PRIu64 "KiB", bytes / 1024);
    else
        snprintf(out, size, "%" PRIu64, bytes);
}

void value_print_safe(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;
        out[n++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    if (size > 0)
        out[n] = '\0';
}
