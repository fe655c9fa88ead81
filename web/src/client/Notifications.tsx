import { memo } from "react";
import { formatCount, formatTime, plural } from "../lib/format";
import { type Inbox, MAX_NOTIFICATIONS, type Notification } from "./use-inbox";

export function Notifications({ inbox }: { inbox: Inbox }) {
  const { notifications, received, clear } = inbox;
  return (
    <section className="card" aria-labelledby="notifications">
      <div className="card-head">
        <h2 id="notifications">Notifications</h2>
        <div className="row">
          <span className="soft small number">{summary(received, notifications.length)}</span>
          <button type="button" className="button is-small" onClick={clear} disabled={notifications.length === 0}>
            Clear list
          </button>
        </div>
      </div>
      {notifications.length === 0 && <p className="empty">Nothing yet. Send something from the Admin page.</p>}
      <div role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="notifications">
        <ol className="notifications">
          {notifications.map((notification) => (
            <NotificationItem key={notification.key} notification={notification} />
          ))}
        </ol>
      </div>
    </section>
  );
}

function summary(received: number, shown: number): string {
  if (received <= MAX_NOTIFICATIONS) return `${formatCount(received)} received`;
  return `${plural(received, "received", "received")}, the latest ${formatCount(shown)} shown`;
}

const NotificationItem = memo(function NotificationItem({ notification }: { notification: Notification }) {
  const { name, payload, id, at } = notification;
  return (
    <li className="notification" data-testid="notification">
      <div className="notification-head">
        <strong className="break">{name}</strong>
        <time className="soft small number" dateTime={new Date(at).toISOString()}>
          {formatTime(at)}
        </time>
      </div>
      <pre>{payload}</pre>
      {id !== "" && <p className="notification-id soft mono break">{id}</p>}
    </li>
  );
});
