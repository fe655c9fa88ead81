// SPDX-License-Identifier: MIT
//
// The guide's calls over HTTP, for backends on Node 18 or newer; nothing to install. TIDINGS_URL says where the
// hub is. Each call resolves to the hub's answer, { ok, sent, clientId, connections, id }, or throws with the
// hub's own words.
const base = process.env.TIDINGS_URL ?? "http://127.0.0.1:3000";

async function call(path, body) {
  const response = await fetch(new URL(path, base), body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.code}: ${answer.detail}`);
  return answer;
}

export const sendEvent = (clientId, event, payload) => call("/api/sse/notify", { clientId, event, payload });

export const broadcast = (event, payload) => call("/api/sse/notify", { broadcast: true, event, payload });

export const getConnectionMetrics = () => call("/api/sse/metrics");

export const totalConnections = async () => (await getConnectionMetrics()).totalConnections;

/** All connected clients, page by page. */
export async function getConnectedClients() {
  const clients = [];
  for (let after = ""; after !== null; ) {
    const page = await call(`/api/sse/clients?after=${encodeURIComponent(after)}`);
    clients.push(...page.clients);
    after = page.next;
  }
  return clients;
}

export async function hasClientConnections(clientId) {
  const response = await fetch(new URL(`/api/sse/clients/${encodeURIComponent(clientId)}`, base));
  return response.ok;
}
