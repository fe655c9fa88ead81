import { describe, expect, it } from "vitest";
import { type SseEvent, SseParser } from "./sse-parser";

const encode = (text: string) => new TextEncoder().encode(text);

function parse(pieces: Uint8Array[], lastEventId = "") {
  const events: SseEvent[] = [];
  const retries: number[] = [];
  const parser = new SseParser(
    { onEvent: (event) => events.push(event), onRetry: (ms) => retries.push(ms) },
    lastEventId,
  );
  for (const piece of pieces) parser.feed(piece);
  return { events, retries, lastEventId: parser.lastEventId };
}

const parseText = (text: string, lastEventId = "") => parse([encode(text)], lastEventId);
const dataOf = (text: string) => parseText(text).events.map((event) => event.data);

describe("lines", () => {
  it.each([
    ["LF", "\n"],
    ["CR", "\r"],
    ["CRLF", "\r\n"],
  ])("end with %s", (_name, end) => {
    const text = ["id: 7", "event: tide", "data: a", "data: b", "", ""].join(end);
    expect(parseText(text).events).toEqual([{ name: "tide", data: "a\nb", id: "7" }]);
  });

  it("may end in all three ways within one block", () => {
    expect(dataOf("data: a\rdata: b\ndata: c\r\n\r\n")).toEqual(["a\nb\nc"]);
  });

  it("that end with CR are dispatched without waiting for a possible LF", () => {
    expect(dataOf("data: a\r\r")).toEqual(["a"]);
  });

  it("that begin with a colon are comments", () => {
    expect(dataOf(":ok\n\n: data: no\ndata: yes\n:\n\n")).toEqual(["yes"]);
  });

  it("lose one leading byte order mark and no second one", () => {
    expect(dataOf("\ufeffdata: a\n\n")).toEqual(["a"]);
    expect(dataOf("\ufeff\ufeffdata: a\n\ndata: b\n\n")).toEqual(["b"]);
  });
});

describe("fields", () => {
  it("lose one space after the colon, not two", () => {
    expect(dataOf("data:a\n\ndata: a\n\ndata:  a\n\n")).toEqual(["a", "a", " a"]);
  });

  it("without a colon are empty", () => {
    expect(dataOf("data\n\n")).toEqual([""]);
    expect(dataOf("data\ndata\n\n")).toEqual(["\n"]);
  });

  it("with other names, or in other letters, are ignored", () => {
    expect(dataOf("Data: a\nfoo: b\n data: c\ndata: d\n\n")).toEqual(["d"]);
  });

  it("event without a value means message", () => {
    expect(parseText("event: x\nevent\ndata: a\n\n").events[0]?.name).toBe("message");
  });

  it("event does not outlive its block", () => {
    const names = parseText("event: x\n\ndata: a\n\n").events.map((event) => event.name);
    expect(names).toEqual(["message"]);
  });

  it("retry takes digits only", () => {
    expect(parseText("retry: 250\nretry: 1.5\nretry: -1\nretry: 3s\nretry:\nretry\n").retries).toEqual([250]);
  });
});

describe("ids", () => {
  it("with a NUL are ignored", () => {
    expect(parseText("id: 1\nid: 2\0\ndata: a\n\n").events[0]?.id).toBe("1");
  });

  it("stay for the events after them", () => {
    const ids = parseText("id: 1\ndata: a\n\ndata: b\n\n").events.map((event) => event.id);
    expect(ids).toEqual(["1", "1"]);
  });

  it("can be taken back by an empty one", () => {
    expect(parseText("id: 1\ndata: a\n\nid\ndata: b\n\n").lastEventId).toBe("");
  });

  it("count at the blank line, also when the block has no data", () => {
    expect(parseText("id: 5\n\n").lastEventId).toBe("5");
    expect(parseText("id: 5\ndata: a\n", "4").lastEventId).toBe("4");
  });

  it("carry over from the stream before", () => {
    expect(parseText("data: a\n\n", "9").events[0]?.id).toBe("9");
  });
});

describe("blocks", () => {
  it("without data make no event", () => {
    expect(parseText("event: x\nid: 1\n\n\n\n").events).toEqual([]);
  });

  it("that the end of the stream cuts off make no event", () => {
    expect(dataOf("data: a\n\ndata: b\n")).toEqual(["a"]);
    expect(dataOf("data: a\n\ndata: b")).toEqual(["a"]);
  });
});

describe("any split", () => {
  const text =
    '\ufeff:ok\r\nretry: 3000\r\n\r\nid: a~1\r\nevent: __connected\r\ndata: {"n":"Zoë 🌊"}\r\n\r\n' +
    "data: one\rdata: two\r\rid: b\nevent: x\ndata\n\n: end\ndata: lost";
  const bytes = encode(text);
  const whole = parse([bytes]);

  it("reads as the whole does", () => {
    expect(whole.events).toEqual([
      { name: "__connected", data: '{"n":"Zoë 🌊"}', id: "a~1" },
      { name: "message", data: "one\ntwo", id: "a~1" },
      { name: "x", data: "", id: "b" },
    ]);
    expect(whole.retries).toEqual([3000]);
  });

  it("in two pieces at every position changes nothing", () => {
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(parse([bytes.slice(0, at), bytes.slice(at)]), `split at ${at}`).toEqual(whole);
    }
  });

  it("in three pieces around every byte changes nothing", () => {
    for (let at = 0; at < bytes.length; at += 1) {
      const pieces = [bytes.slice(0, at), bytes.slice(at, at + 1), bytes.slice(at + 1)];
      expect(parse(pieces), `byte ${at}`).toEqual(whole);
    }
  });

  it("byte by byte changes nothing", () => {
    expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });
});
