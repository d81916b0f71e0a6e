using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.Backend.Tests.Console;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

/// <summary>Who may call what of Backend. A new endpoint is not done before it has its line here.</summary>
public sealed class WhoMayCallTests(BackendHost backend) : IClassFixture<BackendHost>
{
    private const string Anyone = "anyone";
    private const string Services = "services";
    private const string Read = "read";
    private const string Deploy = "deploy";
    private const string Admin = "admin";

    private static readonly Dictionary<string, string> WhoMayCall = new()
    {
        ["GET /alive"] = Anyone,
        ["GET /ready"] = Anyone,
        ["GET /health"] = Anyone,
        ["GET /metrics"] = Anyone,
        ["GET /openapi/{documentName}.json"] = Anyone,
        ["GET /api/docs/{documentName?}"] = Anyone,
        ["GET /api/docs/scalar.js"] = Anyone,
        ["GET /api/docs/scalar.aspnetcore.js"] = Anyone,
        ["GET /api/docs/favicon.svg"] = Anyone,
        ["GET /assets/{file}"] = Anyone,
        ["GET /sign-in"] = Anyone,
        ["POST /sign-in"] = Anyone,
        ["GET /sign-in/provider"] = Anyone,

        ["POST /messages"] = Services,
        ["GET /backlog"] = Services,
        ["GET /dead-letters"] = Services,
        ["POST /dead-letters/redrive"] = Services,
        ["POST /dead-letters/{id:guid}/redrive"] = Services,
        ["POST /dead-letters/{id:guid}/discard"] = Services,

        ["GET /api/templates"] = Read,
        ["GET /api/templates/{name}"] = Read,
        ["GET /api/templates/{name}/versions/{version}"] = Read,
        ["PUT /api/templates/{name}/versions/{version}"] = Admin,
        ["POST /api/shops"] = Deploy,
        ["GET /api/shops"] = Read,
        ["GET /api/shops/{id:guid}"] = Read,
        ["PUT /api/shops/{id:guid}"] = Deploy,
        ["DELETE /api/shops/{id:guid}"] = Deploy,
        ["POST /api/shops/{id:guid}/deployments"] = Deploy,
        ["GET /api/shops/{id:guid}/deployments"] = Read,
        ["POST /api/shops/{id:guid}/rollback"] = Deploy,
        ["GET /api/deployments/{id:guid}"] = Read,
        ["GET /api/deployments/{id:guid}/status"] = Read,
        ["GET /api/deployments/{id:guid}/events"] = Read,
        ["POST /api/deployments/{id:guid}/cancel"] = Deploy,
        ["POST /api/deployments/{id:guid}/retry"] = Deploy,
        ["GET /api/status/services"] = Read,
        ["GET /v1/api/status/services"] = Read,
        ["GET /api/status/calls"] = Read,
        ["POST /api/keys"] = Admin,
        ["GET /api/keys"] = Admin,
        ["GET /api/keys/{id:guid}"] = Admin,
        ["DELETE /api/keys/{id:guid}"] = Admin,
        ["POST /api/owners"] = Admin,
        ["GET /api/owners"] = Admin,
        ["GET /api/owners/{id:guid}"] = Admin,

        ["GET /"] = Read,
        ["GET /shops"] = Read,
        ["GET /shops/new"] = Read,
        ["GET /shops/new/{name}"] = Read,
        ["POST /shops/new/{name}"] = Deploy,
        ["GET /shops/{id:guid}"] = Read,
        ["GET /shops/{id:guid}/edit"] = Read,
        ["POST /shops/{id:guid}/edit"] = Deploy,
        ["GET /shops/{id:guid}/delete"] = Read,
        ["POST /shops/{id:guid}/delete"] = Deploy,
        ["POST /shops/{id:guid}/deploy"] = Deploy,
        ["POST /shops/{id:guid}/rollback"] = Deploy,
        ["GET /shops/{id:guid}/deployments/{deploymentId:guid}"] = Read,
        ["POST /shops/{id:guid}/deployments/{deploymentId:guid}/cancel"] = Deploy,
        ["POST /shops/{id:guid}/deployments/{deploymentId:guid}/retry"] = Deploy,
        ["GET /templates"] = Read,
        ["GET /templates/{name}"] = Read,
        ["GET /resilience"] = Read,
        ["POST /resilience/{service}/redrive/{id:guid?}"] = Deploy,
        ["POST /resilience/{service}/discard/{id:guid}"] = Deploy,
        ["POST /sign-out"] = Read,
        ["GET /keys"] = Admin,
        ["GET /keys/new"] = Admin,
        ["POST /keys/new"] = Admin,
        ["GET /keys/{id:guid}/revoke"] = Admin,
        ["POST /keys/{id:guid}/revoke"] = Admin,
        ["GET /owners"] = Admin,
        ["POST /owners"] = Admin,
    };

    [Fact]
    public void Every_endpoint_has_its_line() =>
        EndpointWalk.CallsOf(backend.Services).ShouldBe(WhoMayCall.Keys, ignoreOrder: true);

    [Fact]
    public async Task Without_a_key_only_what_is_open_to_anyone_answers()
    {
        using var stranger = await Visitor.ComeAsync(backend, null);
        foreach (var (call, who) in WhoMayCall)
        {
            using var response = await stranger.CallAsync(call, NothingOfThese());
            if (who == Anyone)
            {
                response.StatusCode.ShouldNotBeOneOf([HttpStatusCode.Unauthorized, HttpStatusCode.Forbidden], call);
                continue;
            }

            await response.ReadProblemAsync(HttpStatusCode.Unauthorized);
            response.Headers.WwwAuthenticate.ToString().ShouldBe(who == Services ? "X-Internal-Token" : "Bearer", call);
        }
    }

    [Fact]
    public async Task A_key_that_is_none_opens_nothing()
    {
        using var liar = await Visitor.ComeAsync(backend, "no-key");
        foreach (var (call, _) in WhoMayCall.Where(line => line.Value is not Anyone))
        {
            using var response = await liar.CallAsync(call, NothingOfThese());
            await response.ReadProblemAsync(HttpStatusCode.Unauthorized);
        }
    }

    [Theory]
    [InlineData(Read, Deploy)]
    [InlineData(Read, Admin)]
    [InlineData(Deploy, Admin)]
    public async Task A_key_with_too_little_is_refused_and_told_which_scope_is_missing(string scope, string wanted)
    {
        using var visitor = await Visitor.ComeAsync(backend, (string)(await backend.MakeKeyAsync(scope))["key"]!);
        foreach (var (call, _) in WhoMayCall.Where(line => line.Value == wanted))
        {
            using var response = await visitor.CallAsync(call, NothingOfThese());
            ((string)(await response.ReadProblemAsync(HttpStatusCode.Forbidden))["detail"]!).ShouldContain($"'{wanted}'", customMessage: call);
        }
    }

    [Theory]
    [InlineData(Read, new[] { Read })]
    [InlineData(Deploy, new[] { Read, Deploy })]
    [InlineData(Admin, new[] { Read, Deploy, Admin })]
    public async Task A_key_opens_what_its_scope_says_and_never_what_is_for_services(string scope, string[] opens)
    {
        using var visitor = await Visitor.ComeAsync(backend, (string)(await backend.MakeKeyAsync(scope))["key"]!);
        foreach (var (call, who) in WhoMayCall.Where(line => line.Key != "POST /sign-out"))
        {
            if (!opens.Contains(who) && who != Services)
                continue;
            using var response = await visitor.CallAsync(call, NothingOfThese());
            if (who == Services)
                await response.ReadProblemAsync(HttpStatusCode.Unauthorized);
            else
                response.StatusCode.ShouldNotBeOneOf([HttpStatusCode.Unauthorized, HttpStatusCode.Forbidden], call);
        }
    }

    [Fact]
    public async Task What_is_another_owners_is_not_there()
    {
        var (shop, deployment) = await backend.CreateLiveShopAsync();
        using var other = await Visitor.ComeAsync(backend, (string)(await backend.MakeKeyAsync(Deploy))["key"]!);

        var about = WhoMayCall.Keys.Where(call => WhoMayCall[call] is Read or Deploy && call.Contains("{id:guid", StringComparison.Ordinal)).ToList();
        about.Count.ShouldBeGreaterThan(18);
        foreach (var call in about)
        {
            var id = call.Contains("/api/deployments/", StringComparison.Ordinal) ? deployment.Id() : shop.Id();
            using var response = await other.CallAsync(call, new() { ["id"] = id.ToString(), ["deploymentId"] = deployment.Id().ToString(), ["service"] = "backend" });
            await response.ReadProblemAsync(HttpStatusCode.NotFound);
        }

        (await (await other.Client.GetAsync("/api/shops")).ReadAsync(HttpStatusCode.OK))["items"]!.AsArray().ShouldBeEmpty();
        (await other.Client.GetStringAsync("/")).ShouldNotContain((string)shop["slug"]!);
        (await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}")).ReadAsync(HttpStatusCode.OK))["status"]!.GetValue<string>().ShouldBe("live");
    }

    [Theory]
    [InlineData("GET", "/nowhere")]
    [InlineData("POST", "/alive")]
    [InlineData("PATCH", "/api/shops")]
    public async Task What_is_no_endpoint_tells_a_stranger_nothing(string method, string path)
    {
        using var stranger = backend.Connect(null);
        using var response = await stranger.SendAsync(new(new HttpMethod(method), path));
        await response.ReadProblemAsync(HttpStatusCode.Unauthorized);
    }

    private static Dictionary<string, string> NothingOfThese() => new()
    {
        ["id"] = Guid.NewGuid().ToString(),
        ["deploymentId"] = Guid.NewGuid().ToString(),
        ["service"] = "backend",
    };

    /// <summary>Calls everything in the form that it takes: JSON, a zip, or a form of the console with the token that belongs to it.</summary>
    private sealed class Visitor : IDisposable
    {
        private string _cookie = "";
        private string _token = "";

        private Visitor(BackendHost backend, string? key) => Client = backend.Connect(key);

        public HttpClient Client { get; }

        public static async Task<Visitor> ComeAsync(BackendHost backend, string? key)
        {
            var visitor = new Visitor(backend, key);
            // a page that has a form: for who is signed in the button to sign out
            using var page = await visitor.Client.GetAsync(key is null or "no-key" ? "/sign-in" : "/templates");
            var document = new AngleSharp.Html.Parser.HtmlParser().ParseDocument(await page.Content.ReadAsStringAsync());
            visitor._token = document.QuerySelector("input[name=__RequestVerificationToken]")!.GetAttribute("value")!;
            visitor._cookie = page.Headers.GetValues("Set-Cookie").Single(cookie => cookie.StartsWith("platform-form=", StringComparison.Ordinal)).Split(';')[0];
            return visitor;
        }

        public async Task<HttpResponseMessage> CallAsync(string call, Dictionary<string, string> values)
        {
            values["name"] = "aurora";
            values["version"] = "1.0.0";
            values["file"] = "console.css";
            values["documentName"] = "v1";
            using var request = EndpointWalk.Request(call, values);
            var path = request.RequestUri!.ToString();
            if (request.Method == HttpMethod.Put && path.StartsWith("/api/templates/", StringComparison.Ordinal))
            {
                request.Content = new ByteArrayContent([1, 2, 3]) { Headers = { ContentType = new MediaTypeHeaderValue("application/zip") } };
            }
            else if (path.StartsWith("/api/", StringComparison.Ordinal) && request.Method != HttpMethod.Get)
            {
                request.Content = JsonContent.Create(path switch
                {
                    _ when path.EndsWith("/rollback", StringComparison.Ordinal) || path.EndsWith("/deployments", StringComparison.Ordinal) => [],
                    "/api/keys" => new JsonObject { ["name"] = "a key", ["scopes"] = new JsonArray("read") },
                    "/api/owners" => new JsonObject { ["name"] = "an owner" },
                    _ when request.Method == HttpMethod.Put => WithoutSlug(BackendHost.NewShop()),
                    _ => BackendHost.NewShop(),
                });
                if (request.Method == HttpMethod.Put)
                    request.Headers.TryAddWithoutValidation("If-Match", "*");
            }
            else if (request.Method == HttpMethod.Post)
            {
                request.Headers.Add("Cookie", _cookie);
                request.Content = new FormUrlEncodedContent([new("__RequestVerificationToken", _token), new("release", Guid.NewGuid().ToString())]);
            }

            // streams would go on
            return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        }

        public void Dispose() => Client.Dispose();

        private static JsonObject WithoutSlug(JsonObject shop)
        {
            shop.Remove("slug");
            return shop;
        }
    }
}
