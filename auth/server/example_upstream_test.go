package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/mcpfleet/mcpfleet/auth/server"
)

// Users log in at an identity provider, and are who its userinfo endpoint says.
func ExampleNewOAuth2Upstream() {
	identify := func(ctx context.Context, token *oauth2.Token) (string, error) {
		client := oauth2.NewClient(ctx, oauth2.StaticTokenSource(token))
		res, err := client.Get("https://idp.example/userinfo")
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return "", fmt.Errorf("userinfo: %s", res.Status)
		}
		var user struct {
			Subject string `json:"sub"`
		}
		return user.Subject, json.NewDecoder(res.Body).Decode(&user)
	}
	upstream, err := server.NewOAuth2Upstream(&oauth2.Config{
		ClientID:     "our-client-id-there",
		ClientSecret: "from your secret store",
		Endpoint:     oauth2.Endpoint{AuthURL: "https://idp.example/authorize", TokenURL: "https://idp.example/token"},
		RedirectURL:  "https://auth.example/callback",
		Scopes:       []string{"openid"},
	}, identify, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = server.Options{Upstream: upstream} // and the rest of it
}
