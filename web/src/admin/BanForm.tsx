import { type FormEvent, useState } from "react";
import { Field } from "../ui/Field";

interface BanFormProps {
  /** 0 seconds: the client may come back at once. */
  readonly onDisconnect: (banSeconds: number) => void;
  readonly onRefresh: () => void;
}

export function BanForm({ onDisconnect, onRefresh }: BanFormProps) {
  const [seconds, setSeconds] = useState("");
  const wrong = /^[0-9]*$/.test(seconds) ? null : "A whole number of seconds.";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (wrong === null) onDisconnect(Number(seconds));
  };
  return (
    <form className="ban" onSubmit={submit} noValidate>
      <Field label="Keep away for (seconds)" problem={wrong} hint="Empty: it may come back at once.">
        {(control) => (
          <input
            {...control}
            inputMode="numeric"
            value={seconds}
            onChange={(event) => setSeconds(event.target.value.trim())}
          />
        )}
      </Field>
      <div className="row">
        <button type="submit" className="button is-small is-danger">
          Disconnect all
        </button>
        <button type="button" className="button is-small" onClick={onRefresh}>
          Refresh
        </button>
      </div>
    </form>
  );
}
