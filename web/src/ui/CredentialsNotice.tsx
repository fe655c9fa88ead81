import { Notice } from "./Notice";

/** Shown wherever the hub answers 401 or 403 and the page has nothing to offer it. */
export function CredentialsNotice({ detail }: { detail: string }) {
  return (
    <Notice tone="bad">
      <p>
        <strong>This hub asks for credentials.</strong> What this page has is not enough.
      </p>
      <p className="small">{detail}</p>
    </Notice>
  );
}
