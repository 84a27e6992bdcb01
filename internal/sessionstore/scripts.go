package sessionstore

import (
	_ "embed"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Each script is one transition. Those that do no harm when they run twice are
// sent again when a connection breaks under them. Deleting a value is not one:
// the second run could delete what was set after the first.
var (
	//go:embed lua/session_create.lua
	sessionCreateLua string
	sessionCreate    = redisx.NewScript("create session", sessionCreateLua)

	//go:embed lua/session_initialize.lua
	sessionInitializeLua string
	sessionInitialize    = redisx.NewScript("initialize session", sessionInitializeLua)

	//go:embed lua/session_negotiate.lua
	sessionNegotiateLua string
	sessionNegotiate    = redisx.NewScript("negotiate session", sessionNegotiateLua)

	//go:embed lua/session_touch.lua
	sessionTouchLua string
	sessionTouch    = redisx.NewRepeatableScript("touch session", sessionTouchLua)

	//go:embed lua/session_delete.lua
	sessionDeleteLua string
	sessionDelete    = redisx.NewScript("delete session", sessionDeleteLua)

	//go:embed lua/level_set.lua
	levelSetLua string
	levelSet    = redisx.NewRepeatableScript("set log level", levelSetLua)

	//go:embed lua/owner_reserve.lua
	ownerReserveLua string
	ownerReserve    = redisx.NewScript("reserve a session of the owner", ownerReserveLua)

	//go:embed lua/owner_refresh.lua
	ownerRefreshLua string
	ownerRefresh    = redisx.NewRepeatableScript("refresh a session of the owner", ownerRefreshLua)

	//go:embed lua/subscription_add.lua
	subscriptionAddLua string
	subscriptionAdd    = redisx.NewRepeatableScript("subscribe session", subscriptionAddLua)

	//go:embed lua/subscription_remove.lua
	subscriptionRemoveLua string
	subscriptionRemove    = redisx.NewRepeatableScript("unsubscribe session", subscriptionRemoveLua)

	//go:embed lua/value_get.lua
	valueGetLua string
	valueGet    = redisx.NewRepeatableScript("get session value", valueGetLua)

	//go:embed lua/value_set.lua
	valueSetLua string
	valueSet    = redisx.NewScript("set session value", valueSetLua)

	//go:embed lua/value_delete.lua
	valueDeleteLua string
	valueDelete    = redisx.NewScript("delete session value", valueDeleteLua)

	//go:embed lua/uservalue_get.lua
	userValueGetLua string
	userValueGet    = redisx.NewRepeatableScript("get user value", userValueGetLua)

	//go:embed lua/uservalue_set.lua
	userValueSetLua string
	userValueSet    = redisx.NewScript("set user value", userValueSetLua)

	//go:embed lua/uservalue_delete.lua
	userValueDeleteLua string
	userValueDelete    = redisx.NewScript("delete user value", userValueDeleteLua)

	//go:embed lua/secret_keep.lua
	secretKeepLua string
	secretKeep    = redisx.NewRepeatableScript("keep the secret of users' ids", secretKeepLua)
)
