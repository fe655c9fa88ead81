/* SPDX-License-Identifier: MIT
 *
 * revoke - ending and barring what came from an address or by a token, and the list of all bans:
 *
 *     DELETE /api/sse/addresses/{address}[?ban=SECONDS]      an address; of IPv6 its /64
 *     DELETE /api/sse/tokens/{jti}[?ban=SECONDS]
 *     GET    /api/sse/bans
 *     DELETE /api/sse/bans/clients/{clientId}, …/addresses/{address}, …/tokens/{jti}      lifts it
 *
 * Ending clients and connections is the business of lists. Bans are in memory and end with the process.
 */
#ifndef REVOKE_H
#define REVOKE_H

#include "http.h"

void revoke_address(struct request *r);
void revoke_token(struct request *r);
void revoke_list(struct request *r);
void revoke_lift_client(struct request *r);
void revoke_lift_address(struct request *r);
void revoke_lift_token(struct request *r);

#endif
