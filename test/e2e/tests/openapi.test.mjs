// /openapi.json against the server that serves it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Hub } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { SseStream } from "../lib/sse.mjs";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

describe("/openapi.json", () => {
  const hub = new Hub();
  let document;
  before(async () => {
    await hub.start();
    const answer = await hub.get("/openapi.json");
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^application\/(vnd\.oai\.openapi\+)?json/);
    document = answer.json;
  });
  after(() => hub.stop());

  /** Follows $ref inside the document. */
  function resolved(node) {
    if (!node?.$ref) return node;
    assert.match(node.$ref, /^#\//);
    const target = node.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document);
    assert.ok(target, `dangling ${node.$ref}`);
    return resolved(target);
  }

  function operations() {
    return Object.entries(document.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => ({ path, method, item, operation: item[method] })),
    );
  }

  function listed(operation, status) {
    const { responses } = operation;
    const found = responses[status] ?? responses[`${String(status)[0]}XX`] ?? responses.default;
    return resolved(found);
  }

  test("is OpenAPI 3.1 with title and the running version", async () => {
    assert.match(document.openapi, /^3\.1\.\d+$/);
    assert.equal(typeof document.info.title, "string");
    assert.match(document.info.version, /^\d+\.\d+\.\d+/);
  });

  test("has every route of the contract", () => {
    const routes = new Set(operations().map(({ path, method }) => `${method} ${path.replace(/\{[^}]*\}/g, "{}")}`));
    for (const route of [
      "get /api/sse/subscribe/{}",
      "post /api/sse/notify",
      "post /api/sse/notify/batch",
      "get /api/sse/metrics",
      "get /api/sse/clients",
      "get /api/sse/clients/{}",
      "delete /api/sse/clients/{}",
      "delete /api/sse/connections/{}",
      "delete /api/sse/addresses/{}",
      "delete /api/sse/tokens/{}",
      "get /api/sse/bans",
      "delete /api/sse/bans/clients/{}",
      "delete /api/sse/bans/addresses/{}",
      "delete /api/sse/bans/tokens/{}",
      "get /api/sse/history",
      "get /api/sse/admin/stream",
      "post /api/sse/admin/login",
      "post /api/sse/admin/logout",
      "get /api/sse/admin/session",
      "get /metrics",
      "get /healthz",
      "get /readyz",
      "get /openapi.json",
    ]) {
      assert.ok(routes.has(route), `${route} is missing in ${[...routes].join(", ")}`);
    }
  });

  test("has no dangling reference", () => {
    const walk = (node) => {
      if (node === null || typeof node !== "object") return;
      if (typeof node.$ref === "string") resolved(node);
      Object.values(node).forEach(walk);
    };
    walk(document);
  });

  test("declares every parameter that stands in a path, and gives each operation a response", () => {
    for (const { path, item, operation } of operations()) {
      const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(resolved);
      for (const [, name] of path.matchAll(/\{([^}]*)\}/g)) {
        assert.ok(parameters.some((parameter) => parameter.in === "path" && parameter.name === name && parameter.required), `${name} of ${path}`);
      }
      assert.ok(Object.keys(operation.responses).length > 0, path);
    }
  });

  test("operation ids are unique", () => {
    const ids = operations().map(({ operation }) => operation.operationId).filter(Boolean);
    assert.equal(new Set(ids).size, ids.length);
  });

  async function ask(t, method, target, options = {}) {
    const connection = await hub.connect(t);
    await connection.send(requestBytes(method, target, { host: hub.host, ...options }));
    const probe = new SseStream(connection);
    return probe.opened;
  }

  function assertListed(operation, head, what) {
    const response = listed(operation, head.status);
    assert.ok(response, `${what} answered ${head.status}, which is not listed`);
    const type = head.headers.get("content-type")?.split(";")[0].trim();
    if (type === undefined) return;
    const types = Object.keys(response.content ?? {}).map((name) => name.split(";")[0].trim());
    assert.ok(types.includes(type), `${what} answered ${head.status} as ${type}; listed are ${types.join(", ")}`);
  }

  test("each listed operation answers with a listed status and content type", async (t) => {
    const stream = await hub.subscribe(t, "sample");
    const values = { clientId: "sample", connectionId: stream.hello.connectionId };
    const queries = { "/api/sse/history": "?clientId=sample" };
    const body = JSON.stringify({ clientId: "sample", event: "x", payload: 1 });
    assert.ok(operations().length > 0, "no operation is listed");
    const inOrder = operations().sort((a, b) => (a.method === "delete") - (b.method === "delete") || b.path.length - a.path.length);
    for (const { path, method, operation } of inOrder) {
      const target = path.replace(/\{([^}]*)\}/g, (_, name) => encodeURIComponent(values[name] ?? "sample")) + (queries[path] ?? "");
      const options = method === "post" ? { headers: { "Content-Type": "application/json" }, body } : {};
      const head = await ask(t, method.toUpperCase(), target, options);
      const what = `${method.toUpperCase()} ${target}`;
      assert.ok(![404, 405, 501].includes(head.status) || method === "delete", `${what}: ${head.status}`);
      assertListed(operation, head, what);
    }
  });

  test("refusals too are listed: bad input, absent things, wrong types", async (t) => {
    const json = { "Content-Type": "application/json" };
    for (const [method, path, target, options] of [
      ["get", "/api/sse/subscribe/{clientId}", "/api/sse/subscribe/%00"],
      ["get", "/api/sse/subscribe/{clientId}", "/api/sse/subscribe/x", { headers: { Accept: "text/html" } }],
      ["post", "/api/sse/notify", "/api/sse/notify", { headers: json, body: "{}" }],
      ["post", "/api/sse/notify", "/api/sse/notify", { body: "{}" }],
      ["post", "/api/sse/notify", "/api/sse/notify", { headers: { ...json, "Content-Length": "100000000" } }],
      ["get", "/api/sse/clients", "/api/sse/clients?limit=x"],
      ["get", "/api/sse/clients/{clientId}", "/api/sse/clients/absent"],
      ["get", "/api/sse/history", "/api/sse/history"],
      ["delete", "/api/sse/clients/{clientId}", "/api/sse/clients/absent"],
      ["delete", "/api/sse/connections/{connectionId}", "/api/sse/connections/absent"],
    ]) {
      const operation = document.paths[path]?.[method];
      assert.ok(operation, `${method} ${path} is missing`);
      const head = await ask(t, method.toUpperCase(), target, options);
      assert.ok(head.status >= 400, `${target}: ${head.status}`);
      assertListed(operation, head, `${method.toUpperCase()} ${target}`);
    }
  });

  test("the schema of the publish body requires event and payload and allows no others", () => {
    const { requestBody } = document.paths["/api/sse/notify"].post;
    const schema = resolved(resolved(requestBody).content["application/json"].schema);
    assert.deepEqual([...schema.required].sort(), ["event", "payload"]);
    assert.equal(schema.additionalProperties, false);
    for (const field of ["clientId", "event", "payload", "broadcast", "topic", "ttl"]) assert.ok(schema.properties[field], field);
  });

  test("the schema of the metrics answer has what the answer has", async () => {
    const schema = resolved(resolved(document.paths["/api/sse/metrics"].get.responses["200"]).content["application/json"].schema);
    const metrics = await hub.metrics();
    for (const [key, value] of Object.entries(metrics)) {
      const property = resolved(schema.properties[key]);
      assert.ok(property, `${key} is not in the schema`);
      const type = Number.isInteger(value) ? ["integer", "number"] : [typeof value];
      if (property.type) assert.ok([property.type].flat().some((name) => type.includes(name)), key);
    }
  });
});
