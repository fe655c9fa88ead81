/* SPDX-License-Identifier: MIT
 *
 * metrics - GET /metrics in the Prometheus text format (version 0.0.4), GET /healthz and GET /readyz.
 */
#ifndef METRICS_H
#define METRICS_H

#include "http.h"

void metrics_prometheus(struct request *r);
void metrics_health(struct request *r);
void metrics_ready(struct request *r);

#endif
