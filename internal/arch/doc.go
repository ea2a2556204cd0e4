// Package arch holds no code, only tests of the shape of the others: who may import whom, what pure rooms may not
// call, and what every file must or must not have. Each rule carries its reason and prints it when it is broken.
//
// It promises: a sideways or upward import, a clock in a pure room, or a package without a comment fails
// `go test ./internal/arch`. It does not see what linked libraries do, and rooms that are not built yet are passed over.
package arch
