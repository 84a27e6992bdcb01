"use strict";
// Without this script the page works too: its field can be edited, and has a new id each time.
const key = "mcpUserId";
const field = document.getElementById("user");

// Browsers may refuse to store anything.
function load() {
	try { return localStorage.getItem(key); } catch { return null; }
}
function store() {
	try { localStorage.setItem(key, field.value.trim()); } catch { /* then the id is good for this time only */ }
}

// crypto.randomUUID exists on https and localhost only.
function newID() {
	const b = crypto.getRandomValues(new Uint8Array(16));
	b[6] = b[6] & 0x0f | 0x40;
	b[8] = b[8] & 0x3f | 0x80;
	const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// An id that was refused is there to be mended.
if (!field.hasAttribute("aria-invalid")) {
	field.value = load() || field.value;
	field.readOnly = true;
	store();
}
document.getElementById("tools").hidden = false;
document.getElementById("new").addEventListener("click", () => {
	field.value = newID();
	store();
});
document.getElementById("edit").addEventListener("click", () => {
	field.readOnly = false;
	field.focus();
	field.select();
});
field.form.addEventListener("submit", (event) => {
	if (event.submitter && event.submitter.value === "login") store();
});
