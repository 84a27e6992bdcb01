package server

import (
	"context"
	"net/http"
)

// (helper D)
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func assertionAlgorithms() []string { return []string{"ES256", "RS256"} }

func assertionSubject(string) (string, error) { return "", errClient() }

func (s *Server) checkAssertion(context.Context, *Client, string) error { return errClient() }

func (s *Server) clientCredentials(*http.Request, *Client, params) (*tokenResponse, error) {
	return nil, refuse("unsupported_grant_type", "not yet")
}
