// Runs the script of app.html against a small stand-in for a browser, and plays
// its host. Run by TestAppSpeaksWithItsHost.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const html = readFileSync(new URL("../app.html", import.meta.url), "utf8");
const script = /<script>([\s\S]*)<\/script>/.exec(html)[1];
const ids = [...html.matchAll(/\bid="([^"]+)"/g)].map((m) => m[1]);

// start loads the app. sent is what it posted to the host, in order.
function start({ embedded = true } = {}) {
  const element = (id) => ({
    textContent: "", dataset: {}, value: "hello", disabled: id === "send" || id === "ask", listeners: {},
    addEventListener(type, f) { this.listeners[type] = f; },
  });
  const elements = Object.fromEntries(ids.map((id) => [id, element(id)]));
  const style = { properties: {}, setProperty(name, value) { this.properties[name] = value; } };
  const documentElement = { style, getBoundingClientRect: () => ({ width: 399.5, height: size.height }) };
  const size = { height: 100 };
  const sent = [];
  const host = { postMessage: (message, origin) => sent.push(JSON.parse(JSON.stringify({ ...message, origin }))) };
  let listener, resized;
  const window = { addEventListener: (type, f) => { assert.equal(type, "message"); listener = f; } };
  window.parent = embedded ? host : window;
  const document = {
    documentElement,
    getElementById: (id) => elements[id] ?? assert.fail(`no element ${id}`),
  };
  class ResizeObserver {
    constructor(f) { resized = f; }
    observe(target) { assert.equal(target, documentElement); resized(); }
  }
  runInNewContext(script, { window, document, ResizeObserver });

  const app = {
    elements, sent, style, size,
    resize: () => resized(),
    post: (data, source = host) => listener({ data, source }),
    notify: (method, params) => app.post({ jsonrpc: "2.0", method, params }),
    text: (id) => elements[id].textContent,
    settled: () => new Promise((resolve) => setImmediate(resolve)),
    take: () => sent.splice(0),
    listening: () => listener !== undefined,
    async connect(result = { hostInfo: { name: "tester", version: "1" } }) {
      const [{ id }] = app.take();
      app.post({ jsonrpc: "2.0", id, result });
      await app.settled();
      return app.take();
    },
  };
  return app;
}

test("the handshake comes first, and in order", async () => {
  const app = start();
  assert.deepEqual(app.sent, [{
    jsonrpc: "2.0", id: 1, method: "ui/initialize", origin: "*",
    params: {
      protocolVersion: "2026-01-26",
      appInfo: { name: "hello-world", version: "1.0.0" },
      appCapabilities: { availableDisplayModes: ["inline"] },
    },
  }]);
  assert.equal(app.elements.send.disabled, true);
  assert.deepEqual(await app.connect(), [
    { jsonrpc: "2.0", method: "ui/notifications/initialized", params: {}, origin: "*" },
    { jsonrpc: "2.0", method: "ui/notifications/size-changed", params: { width: 400, height: 100 }, origin: "*" },
  ]);
  assert.equal(app.text("status"), "Connected to tester.");
  assert.equal(app.elements.send.disabled, false);
});

test("a host that refuses is reported and not talked to", async () => {
  const app = start();
  app.take();
  app.post({ jsonrpc: "2.0", id: 1, error: { code: -32000, message: "no" } });
  await app.settled();
  assert.deepEqual(app.sent, []);
  assert.equal(app.text("status"), "The host did not accept the app: no");
  assert.equal(app.elements.status.dataset.failed, "true");
  assert.equal(app.elements.send.disabled, true);
});

test("outside of a host the app says so and posts nothing", async () => {
  const app = start({ embedded: false });
  await app.settled();
  assert.deepEqual(app.sent, []);
  assert.equal(app.listening(), false);
  assert.match(app.text("status"), /inside an MCP host/);
});

test("input and result are shown as text", async () => {
  const app = start();
  await app.connect();
  app.notify("ui/notifications/tool-input-partial", { arguments: { a: 1 } });
  assert.equal(app.text("input"), '{\n  "a": 1\n}');
  app.notify("ui/notifications/tool-input", {});
  assert.equal(app.text("input"), "{}");
  app.notify("ui/notifications/tool-result", {
    content: [{ type: "text", text: "<img>" }],
    structuredContent: { greeting: "Hello from MCP Apps!" },
  });
  assert.equal(app.text("greeting"), "Hello from MCP Apps!");
  assert.deepEqual(JSON.parse(app.text("result")).content, [{ type: "text", text: "<img>" }]);
  app.notify("ui/notifications/tool-result", { content: [], structuredContent: { greeting: 5 } });
  assert.equal(app.text("greeting"), "Hello from MCP Apps!");
});

test("a cancelled tool is reported", async () => {
  const app = start();
  await app.connect();
  app.notify("ui/notifications/tool-cancelled", { reason: "user action" });
  assert.equal(app.text("result"), "The tool was cancelled: user action");
  app.notify("ui/notifications/tool-cancelled");
  assert.equal(app.text("result"), "The tool was cancelled.");
});

test("the host's theme is taken over, and updated", async () => {
  const app = start();
  await app.connect({ hostContext: { theme: "dark", styles: { variables: { "--font-sans": "Inter", color: "red", "--x": 1 } } } });
  assert.equal(app.style.colorScheme, "dark");
  assert.deepEqual(app.style.properties, { "--font-sans": "Inter" });
  assert.equal(app.text("status"), "Connected to the host.");
  app.notify("ui/notifications/host-context-changed", { theme: "light" });
  assert.equal(app.style.colorScheme, "light");
  app.notify("ui/notifications/host-context-changed", { theme: "url(x)" });
  assert.equal(app.style.colorScheme, "light");
});

test("the message goes to the host, one at a time", async () => {
  const app = start();
  await app.connect();
  const { send, message } = app.elements;
  message.value = "  hello  ";
  send.listeners.click();
  send.listeners.click();
  const posted = app.take();
  assert.deepEqual(posted, [{
    jsonrpc: "2.0", id: 2, method: "ui/message", origin: "*",
    params: { role: "user", content: [{ type: "text", text: "hello" }] },
  }]);
  assert.equal(app.text("sent"), "Sending…");
  app.post({ jsonrpc: "2.0", id: 2, result: {} });
  await app.settled();
  assert.equal(app.text("sent"), "Message sent.");
  assert.equal(app.elements.sent.dataset.failed, "false");

  message.listeners.keydown({ key: "Enter", isComposing: true });
  message.listeners.keydown({ key: "a" });
  message.value = " ";
  message.listeners.keydown({ key: "Enter" });
  assert.deepEqual(app.sent, []);
  message.value = "again";
  message.listeners.keydown({ key: "Enter" });
  assert.equal(app.take()[0].id, 3);
  app.post({ jsonrpc: "2.0", id: 3, result: { isError: true } });
  await app.settled();
  assert.equal(app.text("sent"), "The host refused the message.");

  send.listeners.click();
  app.post({ jsonrpc: "2.0", id: 4, error: { code: -32000, message: "denied" } });
  await app.settled();
  assert.equal(app.text("sent"), "The message was not sent: denied");
  assert.equal(app.elements.sent.dataset.failed, "true");
});

test("the server is asked by a tool that only the app sees", async () => {
  const app = start();
  assert.equal(app.elements.ask.disabled, true);
  await app.connect();
  const { ask, time } = app.elements;
  assert.equal(ask.disabled, false);
  ask.listeners.click();
  assert.deepEqual(app.take(), [{
    jsonrpc: "2.0", id: 2, method: "tools/call", origin: "*",
    params: { name: "mcp_apps_server_time", arguments: {} },
  }]);
  app.post({ jsonrpc: "2.0", id: 2, result: { content: [{ type: "text", text: "<b>noon</b>" }] } });
  await app.settled();
  assert.equal(app.text("time"), "<b>noon</b>");
  assert.equal(time.dataset.failed, "false");
  ask.listeners.click();
  app.post({ jsonrpc: "2.0", id: 3, error: { code: -32000, message: "denied" } });
  await app.settled();
  assert.equal(app.text("time"), "The server was not asked: denied");
  assert.equal(time.dataset.failed, "true");
});

test("requests of the host are answered", async () => {
  const app = start();
  await app.connect();
  app.post({ jsonrpc: "2.0", id: "a", method: "ping" });
  app.post({ jsonrpc: "2.0", id: 0, method: "ui/resource-teardown", params: { reason: "x" } });
  app.post({ jsonrpc: "2.0", id: 9, method: "tools/list" });
  assert.deepEqual(app.take(), [
    { jsonrpc: "2.0", id: "a", result: {}, origin: "*" },
    { jsonrpc: "2.0", id: 0, result: {}, origin: "*" },
    { jsonrpc: "2.0", id: 9, error: { code: -32601, message: "tools/list is not supported" }, origin: "*" },
  ]);
});

test("other windows and other messages are ignored", async () => {
  const app = start();
  await app.connect();
  const before = app.text("result");
  app.post({ jsonrpc: "2.0", method: "ui/notifications/tool-result", params: { content: ["forged"] } }, {});
  app.post({ jsonrpc: "2.0", id: 1, method: "ping" }, {});
  app.post({ method: "ui/notifications/tool-result", params: {} });
  app.post(null);
  app.post("text");
  app.post({ jsonrpc: "2.0" });
  app.post({ jsonrpc: "2.0", id: 99, result: {} });
  app.notify("constructor", {});
  app.notify("__proto__", {});
  app.notify("ui/notifications/unknown", {});
  assert.equal(app.text("result"), before);
  assert.deepEqual(app.sent, []);
});

test("the size is reported when it changes", async () => {
  const app = start();
  await app.connect();
  app.resize();
  assert.deepEqual(app.sent, []);
  app.size.height = 150.2;
  app.resize();
  assert.deepEqual(app.take().map((m) => m.params), [{ width: 400, height: 151 }]);
});
