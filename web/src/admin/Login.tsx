import { type FormEvent, useEffect, useRef, useState } from "react";
import { Field } from "../ui/Field";

interface LoginProps {
  readonly trying: boolean;
  readonly problem: string | null;
  readonly onLogin: (key: string) => void;
}

export function Login({ trying, problem, onLogin }: LoginProps) {
  const [key, setKey] = useState("");
  const [empty, setEmpty] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const wrong = empty ? "Enter a key." : problem;

  // Where the next attempt begins; what was typed is selected, so that it can be typed over.
  useEffect(() => {
    if (!trying) input.current?.select();
  }, [trying, problem]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setEmpty(key === "");
    if (key === "") input.current?.focus();
    else onLogin(key);
  };

  return (
    <form className="card login" onSubmit={submit} noValidate data-testid="login">
      <div className="card-head">
        <h1>Log in</h1>
      </div>
      <p className="soft">This hub shows its dashboard to whoever has an admin key.</p>
      <Field label="Admin key" problem={wrong} hint="Or the token of an admin. It is exchanged for a cookie, and not kept.">
        {(control) => (
          <input
            {...control}
            ref={input}
            type="password"
            value={key}
            onChange={(event) => {
              setKey(event.target.value.trim());
              setEmpty(false);
            }}
            autoComplete="current-password"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
          />
        )}
      </Field>
      <button type="submit" className="button is-main" disabled={trying}>
        {trying ? "Asking the hub…" : "Log in"}
      </button>
    </form>
  );
}
