using System.Net;
using System.Text.Json.Nodes;

namespace Platform.TestSupport;

/// <summary>The answer that every service gives while its database is unavailable.</summary>
public static class UnavailableDatabase
{
    /// <summary>
    /// Checks that the answer is 503, is a problem that names the database, has a <c>Retry-After</c>, and tells callers that also retry not to: the service has done so already.
    /// </summary>
    /// <exception cref="InvalidOperationException">It is not: the message says what it is instead.</exception>
    public static async Task ShouldSayThatTheDatabaseIsUnavailableAsync(this HttpResponseMessage response)
    {
        var body = await response.Content.ReadAsStringAsync();
        Check(response.StatusCode == HttpStatusCode.ServiceUnavailable, "the status is not 503");
        Check(response.Content.Headers.ContentType?.MediaType == "application/problem+json", "it is no application/problem+json");
        Check(response.Headers.RetryAfter?.Delta >= TimeSpan.FromSeconds(1), "there is no Retry-After in seconds");
        Check(response.Headers.TryGetValues("X-Should-Retry", out var shouldRetry) && shouldRetry.SequenceEqual(["false"]), "X-Should-Retry is not false");
        var problem = JsonNode.Parse(body)!;
        Check((int?)problem["status"] == 503, "the problem's status is not 503");
        Check((string?)problem["title"] == "Service Unavailable", "the title is not 'Service Unavailable'");
        Check(((string?)problem["detail"])?.Contains("database", StringComparison.OrdinalIgnoreCase) == true, "the detail does not name the database");

        void Check(bool holds, string violation)
        {
            if (!holds)
                throw new InvalidOperationException($"{violation}: {(int)response.StatusCode} {response.Headers} {response.Content.Headers} {body}");
        }
    }
}
