/* SPDX-License-Identifier: MIT
 *
 * login - how a browser becomes an admin: POST /api/sse/admin/login exchanges a key for a cookie, logout
 * takes it away, GET /api/sse/admin/session says whether there is one.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "http.h"

void login_begin(struct request *r);
void login_end(struct request *r);
void login_show(struct request *r);

#endif
