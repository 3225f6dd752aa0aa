// A console bridge as many portals have one: the package `ws` in front of TCP, as websockify's port to Node does it.
//
//     node bridge.js PORT CONSOLE_PORT [PEM]
//
// No token and no origin check. What one side does not take is kept by Node; nobody is told to wait.
"use strict";
const fs = require("fs");
const http = require("http");
const https = require("https");
const net = require("net");
const { WebSocketServer } = require("ws");

const [port, console_port, pem] = process.argv.slice(2);
const both = pem ? fs.readFileSync(pem) : null;
const server = both ? https.createServer({ cert: both, key: both }) : http.createServer();
const viewers = new WebSocketServer({ server, perMessageDeflate: false, handleProtocols: () => "binary" });

viewers.on("connection", (viewer) => {
    const target = net.connect({ host: "127.0.0.1", port: Number(console_port), noDelay: true });
    target.on("data", (data) => viewer.readyState === 1 && viewer.send(data));
    target.on("close", () => viewer.close());
    target.on("error", () => viewer.close(1011));
    viewer.on("message", (data) => target.write(data));
    viewer.on("close", () => target.end());
    viewer.on("error", () => target.destroy());
});

server.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
