package everything

import (
	"context"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// weather is the structured result of getWeather, from which its output schema
// is inferred.
type weather struct {
	City        string  `json:"city" jsonschema:"Name of the city"`
	Country     string  `json:"country" jsonschema:"Country the city is in"`
	Temperature float64 `json:"temperature" jsonschema:"Temperature in degrees Celsius"`
	Conditions  string  `json:"conditions" jsonschema:"What the sky looks like"`
	Humidity    int     `json:"humidity" jsonschema:"Relative humidity in percent"`
}

// allWeather returns all the weather there is. It never changes.
func allWeather() []weather {
	return []weather{
		{"Nairobi", "Kenya", 24, "Sunny", 55},
		{"Mombasa", "Kenya", 30.5, "Humid", 80},
		{"Bergen", "Norway", 8.5, "Rain", 92},
		{"Oslo", "Norway", 11, "Partly cloudy", 64},
		{"Tromsø", "Norway", -3, "Snow", 77},
		{"Arequipa", "Peru", 21, "Sunny", 38},
		{"Lima", "Peru", 18.5, "Fog", 88},
		{"Hanoi", "Vietnam", 29, "Thunderstorms", 83},
		{"Huế", "Vietnam", 27.5, "Light rain", 86},
	}
}

// weatherIn returns the weather in a city, or false if there is none.
func weatherIn(city string) (weather, bool) {
	all := allWeather()
	i := slices.IndexFunc(all, func(w weather) bool { return w.City == city })
	if i < 0 {
		return weather{}, false
	}
	return all[i], true
}

func countries() []string {
	var names []string
	for _, w := range allWeather() {
		names = append(names, w.Country)
	}
	return slices.Compact(names)
}

// cities returns the cities of a country, or all if it is empty.
func cities(country string) []string {
	var names []string
	for _, w := range allWeather() {
		if country == "" || country == w.Country {
			names = append(names, w.City)
		}
	}
	return names
}

const weatherName = "getWeather"

func addWeatherTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        weatherName,
		Title:       "Weather",
		Description: "Demonstrates structured content: the weather in a city, which never changes",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		InputSchema: weatherSchema(),
	}, getWeather)
}

type weatherArgs struct {
	City string `json:"city" jsonschema:"Name of the city"`
}

func weatherSchema() *jsonschema.Schema {
	return inputSchema[weatherArgs](func(p map[string]*jsonschema.Schema) {
		for _, city := range cities("") {
			p["city"].Enum = append(p["city"].Enum, city)
		}
	})
}

// getWeather leaves it to the SDK to repeat the weather as text.
func getWeather(_ context.Context, _ *mcp.CallToolRequest, in weatherArgs) (*mcp.CallToolResult, weather, error) {
	w, _ := weatherIn(in.City) // the schema allows only cities that have weather
	return nil, w, nil
}
