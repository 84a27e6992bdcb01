package server

import (
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Each script is one transition of an authorization session or of a grant.
// Revoking does no harm when it runs twice, so it is sent again when a connection
// breaks. The others are sent once: the second run of a redemption, for example,
// would take the first for a theft.
var (
	//go:embed lua/authsession_create.lua
	authSessionCreateLua string
	authSessionCreate    = redisx.NewScript("create authorization session", authSessionCreateLua)

	//go:embed lua/authsession_approve.lua
	authSessionApproveLua string
	authSessionApprove    = redisx.NewScript("approve authorization session", authSessionApproveLua)

	//go:embed lua/authsession_deny.lua
	authSessionDenyLua string
	authSessionDeny    = redisx.NewScript("deny authorization session", authSessionDenyLua)

	//go:embed lua/authsession_finish.lua
	authSessionFinishLua string
	authSessionFinish    = redisx.NewScript("finish authorization session", authSessionFinishLua)

	//go:embed lua/grant_create.lua
	grantCreateLua string
	grantCreate    = redisx.NewScript("create grant", grantCreateLua)

	//go:embed lua/grant_issue.lua
	grantIssueLua string
	grantIssue    = redisx.NewScript("issue access token", grantIssueLua)

	//go:embed lua/grant_redeem.lua
	grantRedeemLua string
	grantRedeem    = redisx.NewScript("redeem code", grantRedeemLua)

	//go:embed lua/grant_refresh.lua
	grantRefreshLua string
	grantRefresh    = redisx.NewScript("refresh grant", grantRefreshLua)

	//go:embed lua/grant_revoke.lua
	grantRevokeLua string
	grantRevoke    = redisx.NewRepeatableScript("revoke grant", grantRevokeLua)
)

// expectOne returns the error otherwise unless a script returned 1.
func expectOne(doing string, reply rueidis.RedisMessage, otherwise error) error {
	switch n, err := reply.AsInt64(); {
	case err != nil:
		return fmt.Errorf("%s: unexpected reply: %w", doing, err)
	case n != 1:
		return fmt.Errorf("%s: %w", doing, otherwise)
	}
	return nil
}

// millis returns a duration as an argument of a script.
func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
