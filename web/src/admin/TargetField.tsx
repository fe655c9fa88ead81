import { Field } from "../ui/Field";
import type { ListedClient } from "./clients-store";
import type { Draft, DraftProblems } from "./draft";

interface TargetFieldProps {
  readonly draft: Draft;
  readonly problems: DraftProblems;
  /** Somebody tried to send: an empty field is a mistake now. */
  readonly tried: boolean;
  readonly change: (parts: Partial<Draft>) => void;
  readonly suggestions: readonly ListedClient[];
}

/** As many as a drop-down can show sensibly; any other id can be typed. */
const MAX_SUGGESTIONS = 100;

export function TargetField({ draft, problems, tried, change, suggestions }: TargetFieldProps) {
  if (draft.target === "everyone") return null;
  if (draft.target === "topic") {
    return (
      <Field label="Topic" problem={tried || draft.topic !== "" ? problems.topic : null}>
        {(control) => (
          <input
            {...control}
            value={draft.topic}
            onChange={(event) => change({ topic: event.target.value })}
            autoCapitalize="none"
            autoComplete="off"
            spellCheck={false}
          />
        )}
      </Field>
    );
  }
  return (
    <>
      <Field label="Client" problem={tried || draft.clientId !== "" ? problems.clientId : null} hint="Pick one from the list, or type an id.">
        {(control) => (
          <input
            {...control}
            list="client-ids"
            value={draft.clientId}
            onChange={(event) => change({ clientId: event.target.value })}
            autoCapitalize="none"
            autoComplete="off"
            spellCheck={false}
          />
        )}
      </Field>
      <datalist id="client-ids">
        {suggestions.slice(0, MAX_SUGGESTIONS).map(({ row }) => (
          <option key={row.clientId} value={row.clientId}>
            {row.name}
          </option>
        ))}
      </datalist>
    </>
  );
}
