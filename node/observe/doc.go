// Package observe shows the world what is FINAL, and how to check it without trusting this server: verdicts with their
// proofs, the C2SP transparency log, a page with a map. It reads only; every method but GET and HEAD is refused, every
// request is bounded in size, rate and time. Nothing tentative is ever shown.
package observe
