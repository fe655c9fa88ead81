#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The guide's calls with curl. TIDINGS_URL says where the hub is; the first argument names a client.
#
#     ./publish.sh user-123
set -eu
url=${TIDINGS_URL:-http://127.0.0.1:3000}
client=${1:-user-123}

post() {
    curl -fsS -H 'Content-Type: application/json' --data-binary "$1" "$url/api/sse/notify"
    echo
}

# to one client, on all its connections
post "{\"clientId\":\"$client\",\"event\":\"notification\",\"payload\":{\"message\":\"Hello!\"}}"

# to everybody
post '{"broadcast":true,"event":"system-alert","payload":{"level":"warning","message":"Maintenance in 5 minutes"}}'

# to whoever has subscribed to a topic: curl -N "$url/api/sse/subscribe/ada?topic=news"
post '{"topic":"news","event":"headline","payload":{"title":"It works"}}'

# who is here
curl -fsS "$url/api/sse/metrics"
echo
