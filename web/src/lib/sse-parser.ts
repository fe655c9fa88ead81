/**
 * Turns the bytes of one `text/event-stream` answer into events, as the HTML standard's
 * "Interpreting an event stream" says. It does no I/O and may be fed in pieces of any size.
 * What is unfinished when the stream ends is lost, as the standard wants: no blank line, no event.
 */

export interface SseEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string;
}

export interface SseSink {
  onEvent(event: SseEvent): void;
  onRetry(milliseconds: number): void;
}

const LINE_END = /\r\n?|\n/g;

export class SseParser {
  // The decoder holds back a character cut in two, and drops one byte order mark at the start.
  private readonly decoder = new TextDecoder("utf-8");
  private partialLine = "";
  private endedWithCr = false;
  private data = "";
  private name = "";
  private pendingId: string;
  private committedId: string;

  /** `lastEventId` carries the cursor over from the stream before, for events that bring no id. */
  constructor(
    private readonly sink: SseSink,
    lastEventId = "",
  ) {
    this.pendingId = lastEventId;
    this.committedId = lastEventId;
  }

  /** The id to resume from: that of the last *finished* block. */
  get lastEventId(): string {
    return this.committedId;
  }

  feed(bytes: Uint8Array): void {
    const text = this.decoder.decode(bytes, { stream: true });
    if (text !== "") this.takeText(text);
  }

  private takeText(text: string): void {
    // A CR ends its line at once, so that no event waits for the next piece; its LF may come here.
    let start = this.endedWithCr && text.startsWith("\n") ? 1 : 0;
    LINE_END.lastIndex = start;
    for (let end = LINE_END.exec(text); end !== null; end = LINE_END.exec(text)) {
      const line = this.partialLine + text.slice(start, end.index);
      this.partialLine = "";
      start = end.index + end[0].length;
      this.takeLine(line);
      LINE_END.lastIndex = start;
    }
    this.partialLine += text.slice(start);
    this.endedWithCr = text.endsWith("\r");
  }

  private takeLine(line: string): void {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    if (colon === -1) return this.takeField(line, "");
    const value = line.slice(colon + 1);
    this.takeField(line.slice(0, colon), value.startsWith(" ") ? value.slice(1) : value);
  }

  private takeField(field: string, value: string): void {
    if (field === "data") this.data += `${value}\n`;
    else if (field === "event") this.name = value;
    else if (field === "id") this.takeId(value);
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.sink.onRetry(Number(value));
  }

  private takeId(value: string): void {
    if (!value.includes("\0")) this.pendingId = value;
  }

  private dispatch(): void {
    const { data, name } = this;
    this.data = "";
    this.name = "";
    this.committedId = this.pendingId;
    if (data === "") return;
    this.sink.onEvent({
      name: name === "" ? "message" : name,
      data: data.slice(0, -1),
      id: this.committedId,
    });
  }
}
