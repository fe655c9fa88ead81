// A small application for the hub to ask and to tell: who is this visitor, who has come and gone. See docs/backend.md.
//
//     node examples/backend.mjs
//     build/tidings serve --authorize-url http://127.0.0.1:8080/authorize \
//                         --event-url http://127.0.0.1:8080/events --event-secret change-me
//     curl -N -b session=ada-session http://127.0.0.1:3000/api/sse/subscribe/me

import crypto from "node:crypto";
import http from "node:http";

const SECRET = process.env.EVENT_SECRET ?? "change-me";
const sessions = new Map([["ada-session", { clientId: "user-1", name: "Ada", subscribe: ["news", "room:*"] }]]);

function isGenuine(header = "", body, secret, tolerance = 300) {
  const [time, ...signatures] = header.split(",");
  const seconds = Number(time.slice("t=".length));
  if (!(Math.abs(Date.now() / 1000 - seconds) < tolerance)) return false;
  const expected = crypto.createHmac("sha256", secret).update(`${seconds}.${body}`).digest();
  return signatures.some((signature) => {
    const given = Buffer.from(signature.slice("v1=".length), "hex");
    return given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

function authorize(request, response) {
  const session = /(?:^|; )session=([^;]*)/.exec(request.headers.cookie ?? "");
  const visitor = session && sessions.get(session[1]);
  if (!visitor) return response.writeHead(401).end();
  response.setHeader("Cache-Control", "private, max-age=10");
  return response.end(JSON.stringify({ ...visitor, expiresIn: 600 }));
}

const seen = new Map(); // node → seq of its newest notice

function events(request, response, body) {
  if (!isGenuine(request.headers["tidings-signature"], body, SECRET)) return response.writeHead(403).end();
  for (const event of JSON.parse(body).events) {
    if (event.type === "lost") console.log(`missed ${event.count} notices`);
    else if (event.seq > (seen.get(event.node) ?? 0)) {
      seen.set(event.node, event.seq);
      console.log(event.type, event.clientId, event.cause ?? "");
    }
  }
  return response.end();
}

http
  .createServer(async (request, response) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    if (request.url === "/authorize") authorize(request, response);
    else if (request.url === "/events") events(request, response, body);
    else response.writeHead(404).end();
  })
  .listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
