import { Notice } from "./Notice";

/** Shown wherever the hub answers 401 or 403. A prompt for a key belongs here, once hubs hand keys out to pages. */
export function CredentialsNotice({ detail }: { detail: string }) {
  return (
    <Notice tone="bad">
      <p>
        <strong>This hub asks for credentials.</strong> This page carries none, so the hub does not answer it.
      </p>
      <p className="small">{detail}</p>
    </Notice>
  );
}
