import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const page = (name: string) => fileURLToPath(new URL(`./${name}.html`, import.meta.url));

/** The hub serves /client and /admin without an ending; the development server learns the same. */
function cleanAddresses(): Plugin {
  return {
    name: "clean-addresses",
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        request.url = request.url?.replace(/^\/(client|admin)(?=$|\?)/, "/$1.html");
        next();
      });
    },
  };
}

export default defineConfig({
  plugins: [react(), cleanAddresses()],
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: { "/api": process.env.TIDINGS_URL ?? "http://127.0.0.1:3000" },
  },
  // The notices of the libraries travel with their code, as their licences ask.
  esbuild: { legalComments: "eof" },
  build: {
    target: "es2022",
    // The hub's Content-Security-Policy allows files of its own only, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: page("index"), client: page("client"), admin: page("admin") },
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
