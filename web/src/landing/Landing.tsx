import { Shell } from "../ui/Shell";
import { Tide } from "./Tide";

export function Landing() {
  return (
    <Shell page="home">
      <div className="hero">
        <h1>News, the moment it happens.</h1>
        <p>
          Tidings keeps a line open to everyone who listens and hands each event on as it comes. Open both pages
          side by side to see it work.
        </p>
      </div>
      <Tide />
      <div className="doors">
        <Door href="/client" title="Client" text="Enter a name, join, and watch notifications arrive." go="Join the stream" />
        <Door href="/admin" title="Admin" text="See who is connected and send to one, to a topic, or to all." go="Open the dashboard" />
      </div>
    </Shell>
  );
}

function Door({ href, title, text, go }: { href: string; title: string; text: string; go: string }) {
  return (
    <a className="card door" href={href}>
      <h2>{title}</h2>
      <p className="soft">{text}</p>
      <p className="door-go">{go} →</p>
    </a>
  );
}
