// SPDX-License-Identifier: MIT
//
// A webhook that turns what somebody else's system tells into events: the guide's example as a program.
//
//     TIDINGS_URL=http://127.0.0.1:3000 PORT=4000 node webhook-handler.mjs
//     curl -d '{"userId":"user-123","eventType":"invoice-paid","data":{"amount":12}}' http://127.0.0.1:4000/
import { createServer } from "node:http";
import { broadcast, sendEvent } from "./tidings.mjs";

async function handle(body) {
  const { userId, eventType, data } = body;

  // Send notification to user
  if (userId) {
    await sendEvent(userId, eventType, data);
  }

  // Or broadcast system-wide
  if (eventType === "system-maintenance") {
    await broadcast("maintenance-alert", data);
  }

  return { ok: true };
}

async function readJson(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > 1_000_000) throw new Error("the body is too large");
  }
  return JSON.parse(text);
}

const server = createServer(async (request, response) => {
  let status = 200;
  let answer;
  try {
    answer = await handle(await readJson(request));
  } catch (error) {
    status = 400;
    answer = { ok: false, error: error.message };
  }
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
});

server.listen(Number(process.env.PORT ?? 4000), "127.0.0.1", () => {
  console.log(`webhook on http://127.0.0.1:${server.address().port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    server.close();
    server.closeAllConnections?.();
  });
}
