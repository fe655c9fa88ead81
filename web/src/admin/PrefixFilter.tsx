import { useEffect, useState } from "react";
import { Field } from "../ui/Field";

const PAUSE_MS = 200;

/** Tells its parent once typing pauses: each change asks the hub for another list. */
export function PrefixFilter({ onChange }: { onChange: (prefix: string) => void }) {
  const [typed, setTyped] = useState("");
  const [told, setTold] = useState("");
  useEffect(() => {
    if (typed === told) return;
    const timer = setTimeout(() => {
      setTold(typed);
      onChange(typed);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, told, onChange]);

  return (
    <Field label="Filter by prefix">
      {(control) => (
        <input
          {...control}
          type="search"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          autoCapitalize="none"
          autoComplete="off"
          spellCheck={false}
        />
      )}
    </Field>
  );
}
