import type { ReactNode } from "react";
import { ThemeToggle } from "./ThemeToggle";
import { Wave } from "./Wave";

export type PageName = "home" | "client" | "admin";

/** The frame of every page: skip link, masthead, main. */
export function Shell({ page, children }: { page: PageName; children: ReactNode }) {
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="masthead">
        <a className="wordmark" href="/">
          <Wave />
          Tidings
        </a>
        <nav aria-label="Pages">
          <PageLink href="/client" current={page === "client"} text="Client" />
          <PageLink href="/admin" current={page === "admin"} text="Admin" />
        </nav>
        <ThemeToggle />
      </header>
      <main id="main" className={`page-${page}`} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

function PageLink({ href, current, text }: { href: string; current: boolean; text: string }) {
  return (
    <a href={href} aria-current={current ? "page" : undefined}>
      {text}
    </a>
  );
}
