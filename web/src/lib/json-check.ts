/**
 * Checks JSON as the hub does (RFC 8259, at most 512 levels, no lone surrogate escapes) and says
 * where it breaks. JSON.parse() is no help there: each browser words its errors differently, some
 * without a position, and it loses digits that the hub would keep.
 */

export type JsonCheck =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly message: string;
      readonly offset: number;
      readonly line: number;
      readonly column: number;
    };

const MAX_DEPTH = 512;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING_PART = /[^"\\\u0000-\u001f]+/y;
const SPACE = /[ \t\n\r]*/y;
const LITERALS = ["true", "false", "null"];

class Broken extends Error {
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

export function checkJson(text: string): JsonCheck {
  try {
    new Checker(text).document();
    return { ok: true };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    return { ok: false, message: error.message, ...position(text, error.offset) };
  }
}

function position(text: string, offset: number) {
  const before = text.slice(0, offset).split("\n");
  const column = (before.at(-1)?.length ?? 0) + 1;
  return { offset, line: before.length, column };
}

class Checker {
  private at = 0;

  constructor(private readonly text: string) {}

  document(): void {
    this.space();
    if (this.at === this.text.length) this.fail("A JSON value is missing");
    this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail(`Unexpected ${this.here()} after the end of the value`);
  }

  private value(depth: number): void {
    const first = this.text[this.at];
    if (first === "{") this.object(depth + 1);
    else if (first === "[") this.array(depth + 1);
    else if (first === '"') this.string();
    else if (first === "-" || (first !== undefined && first >= "0" && first <= "9")) this.number();
    else this.literal();
  }

  private object(depth: number): void {
    this.enter(depth);
    if (this.take("}")) return;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.fail(`Expected a name in double quotes, found ${this.here()}`);
      this.string();
      this.space();
      if (!this.take(":")) this.fail(`Expected “:” after the name, found ${this.here()}`);
      this.member(depth);
    } while (this.take(","));
    if (!this.take("}")) this.fail(`Expected “,” or “}”, found ${this.here()}`);
  }

  private array(depth: number): void {
    this.enter(depth);
    if (this.take("]")) return;
    do this.member(depth);
    while (this.take(","));
    if (!this.take("]")) this.fail(`Expected “,” or “]”, found ${this.here()}`);
  }

  private enter(depth: number): void {
    if (depth > MAX_DEPTH) this.fail(`More than ${MAX_DEPTH} levels`);
    this.at += 1;
    this.space();
  }

  private member(depth: number): void {
    this.space();
    this.value(depth);
    this.space();
  }

  private string(): void {
    const start = this.at;
    this.at += 1;
    for (;;) {
      this.skip(STRING_PART);
      const next = this.text[this.at];
      if (next === undefined) this.fail("This string has no end", start);
      if (next === "\\") {
        this.escape();
        continue;
      }
      if (next !== '"') this.fail("A line break or control character inside a string must be escaped");
      this.at += 1;
      return;
    }
  }

  private escape(): void {
    const start = this.at;
    const kind = this.text[start + 1];
    if (kind !== "u") {
      if (kind === undefined || !'"\\/bfnrt'.includes(kind)) this.fail("This escape does not exist in JSON");
      this.at += 2;
      return;
    }
    const unit = this.codeUnit();
    if (unit >= 0xdc00 && unit <= 0xdfff) this.fail("Half of a surrogate pair", start);
    if (unit < 0xd800 || unit > 0xdbff) return;
    const low = this.text.startsWith("\\u", this.at) ? this.codeUnit() : 0;
    if (low < 0xdc00 || low > 0xdfff) this.fail("Half of a surrogate pair", start);
  }

  private codeUnit(): number {
    const digits = this.text.slice(this.at + 2, this.at + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("\\u needs four hexadecimal digits");
    this.at += 6;
    return Number.parseInt(digits, 16);
  }

  private number(): void {
    const start = this.at;
    this.skip(NUMBER);
    const next = this.text[this.at];
    if (this.at === start || (next !== undefined && /[0-9.eE+-]/.test(next))) {
      this.fail("This is not a JSON number", start);
    }
  }

  private literal(): void {
    const word = LITERALS.find((literal) => this.text.startsWith(literal, this.at));
    if (word === undefined) this.fail(`Expected a value, found ${this.here()}`);
    this.at += word.length;
  }

  private take(character: string): boolean {
    const found = this.text[this.at] === character;
    if (found) this.at += 1;
    return found;
  }

  private space(): void {
    this.skip(SPACE);
  }

  private skip(pattern: RegExp): void {
    pattern.lastIndex = this.at;
    if (pattern.test(this.text)) this.at = pattern.lastIndex;
  }

  private here(): string {
    const found = this.text.codePointAt(this.at);
    return found === undefined ? "the end" : `“${String.fromCodePoint(found)}”`;
  }

  private fail(message: string, offset = this.at): never {
    throw new Broken(message, offset);
  }
}
