package redistest

import lua "github.com/yuin/gopher-lua"

// miniredis makes an interpreter for every script it runs, and by default that
// is 100 kB of stacks. No script of ours needs a tenth of it, and one that did
// would fail, not go wrong.
func init() {
	lua.RegistrySize = 512
	lua.CallStackSize = 32
}
