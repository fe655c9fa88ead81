/* SPDX-License-Identifier: MIT
 *
 * report - see report.h.
 */
#include "report.h"

void report(const struct report *r, enum tidings_log_level level, const char *event, const char *message,
            const struct tidings_log_field *fields, size_t count)
{
    if (!r->log)
        return;
    struct tidings_log_record record = {
        .level = level, .event = event, .message = message, .fields = fields, .field_count = count};
    r->log(r->user, &record);
}
