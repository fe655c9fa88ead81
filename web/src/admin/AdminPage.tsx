import { Shell } from "../ui/Shell";
import { Dashboard } from "./Dashboard";
import { Login } from "./Login";
import { useSession } from "./use-session";

/** The dashboard, or what stands before it. */
export function AdminPage() {
  const { session, login, logout, lost } = useSession();
  return (
    <Shell page="admin">
      {session.kind === "out" && <Login trying={session.trying} problem={session.problem} onLogin={login} />}
      {session.kind === "in" && <Dashboard onLogout={session.until === null ? null : logout} onRefused={lost} />}
    </Shell>
  );
}
