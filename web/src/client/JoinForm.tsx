import { type FormEvent, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { SourceState } from "../lib/event-source";
import { focusFirstInvalid } from "../ui/focus-invalid";
import { Field } from "../ui/Field";
import { StateBadge } from "../ui/StateBadge";
import { type Join, checkJoin } from "./join";

interface JoinFormProps {
  readonly first: Join;
  readonly state: SourceState;
  readonly onJoin: (join: Join) => void;
}

export function JoinForm({ first, state, onJoin }: JoinFormProps) {
  const [join, setJoin] = useState(first);
  const [tried, setTried] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const problems = checkJoin(join);
  const change = (parts: Partial<Join>) => setJoin({ ...join, ...parts });
  // An empty field is no mistake until somebody tries to join with it.
  const nameProblem = tried || join.name !== "" ? problems.name : null;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    // Drawn at once, so that the field that is wrong is marked before it is looked for.
    flushSync(() => setTried(true));
    if (problems.name === null && problems.clientId === null && problems.topics === null) onJoin(join);
    else focusFirstInvalid(form.current);
  };

  return (
    <form ref={form} className="card join" onSubmit={submit} noValidate>
      <div className="card-head">
        <h1>Join the stream</h1>
        <StateBadge state={state} beat={0} />
      </div>
      <p className="soft">Pick a name. Whatever is sent to it, or to everyone, appears here as it happens.</p>
      <Field label="Name" problem={nameProblem}>
        {(control) => (
          <input
            {...control}
            value={join.name}
            onChange={(event) => change({ name: event.target.value })}
            autoComplete="nickname"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
          />
        )}
      </Field>
      <AdvancedFields join={join} change={change} problems={problems} />
      <button type="submit" className="button is-main">
        Join
      </button>
    </form>
  );
}

interface AdvancedFieldsProps {
  readonly join: Join;
  readonly change: (parts: Partial<Join>) => void;
  readonly problems: ReturnType<typeof checkJoin>;
}

function AdvancedFields({ join, change, problems }: AdvancedFieldsProps) {
  return (
    <details className="advanced" open={join.clientId !== "" || join.topics !== "" ? true : undefined}>
      <summary>Advanced</summary>
      <div className="advanced-fields">
        <Field label="Client id" problem={problems.clientId} hint="Where notifications are addressed to. Empty: the same as above.">
          {(control) => (
            <input
              {...control}
              value={join.clientId}
              onChange={(event) => change({ clientId: event.target.value })}
              autoCapitalize="none"
              spellCheck={false}
            />
          )}
        </Field>
        <Field label="Topics" problem={problems.topics} hint="Separated by commas.">
          {(control) => (
            <input
              {...control}
              value={join.topics}
              onChange={(event) => change({ topics: event.target.value })}
              autoCapitalize="none"
              spellCheck={false}
            />
          )}
        </Field>
      </div>
    </details>
  );
}
