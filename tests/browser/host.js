// A client with MCP Apps: the official AppBridge around the page, in the sandbox that the specification asks for.
import {AppBridge, PostMessageTransport} from "@modelcontextprotocol/ext-apps/app-bridge";

const seen = {heights: [], widths: [], initialized: false};
let bridge;

async function openPanel({html, capabilities, context, result}) {
  const frame = document.querySelector("iframe");
  bridge = new AppBridge(null, {name: "browser-test", version: "1"}, capabilities, {hostContext: context});
  bridge.oncalltool = params => window.callTool(params);
  bridge.onsizechange = ({height, width}) => {
    seen.heights.push(height);
    if (width !== undefined) seen.widths.push(width);
  };
  const ready = new Promise(resolve => { bridge.onsandboxready = resolve });
  const initialized = new Promise(resolve => { bridge.oninitialized = resolve });
  const connected = bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.src = "http://sandbox.test/";
  await Promise.all([connected, ready]);
  await bridge.sendSandboxResourceReady({html});
  await initialized;
  seen.initialized = true;
  if (result) {
    await bridge.sendToolInput({arguments: {}});
    await bridge.sendToolResult(result);
  }
}

Object.assign(window, {
  openPanel,
  seen: () => seen,
  setContext: context => bridge.setHostContext(context),
  sendResult: result => bridge.sendToolResult(result),
  tearDown: () => bridge.teardownResource({}),
});
