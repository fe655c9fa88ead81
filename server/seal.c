/* SPDX-License-Identifier: MIT
 *
 * See seal.h. Credentials belong to a thread in Linux. glibc carries setresuid() to all threads, but not
 * capset() and prctl(); so what has to reach threads that exist already, those of the log, of the store and
 * of outgoing requests, goes by setresuid(): giving up the last user id that is 0 takes all capabilities from
 * each of them (capabilities(7)).
 */
#include "seal.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "value.h"

#define ROOT 0

__attribute__((format(printf, 2, 3))) static int refuse(char *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, SEAL_ERROR_MAX, format, args);
    va_end(args);
    return -1;
}

/* ------------------------------------------------------------------ who */

int seal_find_user(struct seal_user *user, const char *text, char *error)
{
    char shown[64];
    const struct passwd *person;
    const struct group *group;
    size_t len = text ? strcspn(text, ":") : 0;

    *user = (struct seal_user){.given = text != NULL};
    if (!text)
        return 0;
    value_print_safe(shown, sizeof shown, text);
    if (len == 0 || len >= sizeof user->name)
        return refuse(error, "\"%s\" is not NAME or NAME:GROUP", shown);
    memcpy(user->name, text, len);
    person = getpwnam(user->name);
    if (!person)
        return refuse(error, "\"%s\": there is no such user", shown);
    user->uid = person->pw_uid;
    user->gid = person->pw_gid;
    group = text[len] == ':' ? getgrnam(text + len + 1) : NULL;
    if (text[len] == ':' && !group)
        return refuse(error, "\"%s\": there is no such group", shown);
    if (group)
        user->gid = group->gr_gid;
    if (user->uid == ROOT || user->gid == ROOT)
        return refuse(error, "\"%s\": that would be the superuser", shown);
    return 0;
}

static bool is_user(const struct seal_user *user)
{
    return geteuid() == user->uid && getuid() == user->uid && getegid() == user->gid && getgid() == user->gid;
}

/* ------------------------------------------------------------------ capabilities */

struct capabilities {
    uint64_t effective, permitted;
};

#define BIT(capability) (UINT64_C(1) << (capability))

static int get_capabilities(struct capabilities *caps)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    caps->effective = data[0].effective | (uint64_t)data[1].effective << 32;
    caps->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

/* Of the calling thread, and of those that it will start. Nothing is inheritable: no program is started. */
static int set_capabilities(struct capabilities caps)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)caps.effective, .permitted = (uint32_t)caps.permitted},
        {.effective = (uint32_t)(caps.effective >> 32), .permitted = (uint32_t)(caps.permitted >> 32)}};

    return (int)syscall(SYS_capset, &header, data);
}

int seal_process(char *error)
{
    struct capabilities caps;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return refuse(error, "no_new_privs: %s", strerror(errno));
    if (geteuid() == ROOT)
        return 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* unknown before Linux 4.3, which had none */
    if (get_capabilities(&caps) < 0)
        return refuse(error, "capabilities: %s", strerror(errno));
    caps.permitted &= BIT(CAP_NET_BIND_SERVICE);
    caps.effective &= BIT(CAP_NET_BIND_SERVICE);
    return set_capabilities(caps) < 0 ? refuse(error, "capabilities: %s", strerror(errno)) : 0;
}

int seal_become(const struct seal_user *user, char *error)
{
    struct capabilities caps;

    if (!user->given || is_user(user))
        return 0;
    if (geteuid() != ROOT)
        return refuse(error, "only root can become %s", user->name);
    /* The saved user id stays 0, so that permitted capabilities do; the effective ones go with the effective
     * id. */
    if (initgroups(user->name, user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, ROOT) < 0 || get_capabilities(&caps) < 0)
        return refuse(error, "cannot become %s: %s", user->name, strerror(errno));
    caps.effective = caps.permitted & (BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_DAC_READ_SEARCH));
    caps.permitted = caps.effective | (caps.permitted & BIT(CAP_SETUID));
    return set_capabilities(caps) < 0 ? refuse(error, "capabilities: %s", strerror(errno)) : 0;
}

/* The last word is what the kernel says, not that a call went well. */
static int check_nothing_is_left(const struct seal_user *user, char *error)
{
    struct capabilities caps;
    uid_t real, effective, saved;

    if (getresuid(&real, &effective, &saved) < 0 || real != user->uid || effective != user->uid ||
        saved != user->uid || setresuid(ROOT, ROOT, ROOT) == 0)
        return refuse(error, "has not become %s for good", user->name);
    if (get_capabilities(&caps) < 0 || caps.permitted != 0)
        return refuse(error, "%s still has capabilities", user->name);
    return 0;
}

int seal_check_place(const struct seal_user *user, const char *path, char *error)
{
    char place[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    snprintf(place, sizeof place, "%.*s", slash ? (int)len + (len == 0) : 1, slash ? path : ".");
    if (access(place, W_OK | X_OK) == 0)
        return 0;
    return refuse(error, "%s may not write in %.128s: %s", user->name, place, strerror(errno));
}

int seal_bound(const struct seal_user *user, char *error)
{
    if (geteuid() == ROOT)
        return 0;
    if (user->given && setresuid(user->uid, user->uid, user->uid) < 0)
        return refuse(error, "cannot become %s: %s", user->name, strerror(errno));
    if (set_capabilities((struct capabilities){0}) < 0)
        return refuse(error, "capabilities: %s", strerror(errno));
    return user->given ? check_nothing_is_left(user, error) : 0;
}
