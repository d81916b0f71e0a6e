using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.ServiceDiscovery;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Packages;

/// <summary>What ServiceDefaults relies on from Microsoft.Extensions.ServiceDiscovery.</summary>
public sealed class ServiceDiscoveryTests : IAsyncDisposable
{
    private readonly ConfigurationManager _configuration = new();
    private ServiceProvider? _services;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_service_is_called_by_its_name()
    {
        await using var server = await Server.StartAsync((context, _) =>
            context.Response.WriteAsync(context.Request.Path + context.Request.QueryString));
        _configuration["services:catalog:http:0"] = server.Address.ToString();

        (await GetAsync("http://catalog/items/7?all=yes")).ShouldBe("/items/7?all=yes");
    }

    [Fact]
    public async Task The_path_of_an_address_comes_before_that_of_the_request()
    {
        await using var server = await Server.StartAsync((context, _) => context.Response.WriteAsync(context.Request.Path.Value!));
        _configuration["services:catalog:http:0"] = new Uri(server.Address, "base/").ToString();

        (await GetAsync("http://catalog/items")).ShouldBe("/base/items");
    }

    [Fact]
    public async Task Https_is_preferred_only_where_it_is_configured()
    {
        _configuration["services:both:https:0"] = "https://both.example:8443";
        _configuration["services:both:http:0"] = "http://both.example:8080";
        _configuration["services:plain:http:0"] = "http://plain.example:8080";

        (await ResolveAsync("https+http://both")).ShouldBe(["https://both.example:8443/"]);
        (await ResolveAsync("http+https://both")).ShouldBe(["http://both.example:8080/"]);
        (await ResolveAsync("https+http://plain")).ShouldBe(["http://plain.example:8080/"]);
    }

    [Fact]
    public async Task An_endpoint_is_found_by_its_name()
    {
        _configuration["services:catalog:http:0"] = "http://catalog.example:8080";
        _configuration["services:catalog:admin:0"] = "http://catalog.example:9090";

        (await ResolveAsync("http://_admin.catalog")).ShouldBe(["http://catalog.example:9090/"]);
        (await ResolveAsync("http://catalog")).ShouldBe(["http://catalog.example:8080/"]);
    }

    [Fact]
    public async Task The_default_endpoint_comes_before_that_of_the_scheme()
    {
        _configuration["services:catalog:default:0"] = "http://default.example";
        _configuration["services:catalog:http:0"] = "http://other.example";

        (await ResolveAsync("http://catalog")).ShouldBe(["http://default.example/"]);
    }

    [Fact]
    public async Task An_endpoint_may_be_one_value_and_an_address_just_host_and_port()
    {
        _configuration["services:catalog:http"] = "catalog.example:8080";

        (await ResolveAsync("http://catalog")).ShouldBe(["catalog.example:8080"]);
    }

    [Fact]
    public async Task A_name_that_is_not_configured_is_the_host()
    {
        await using var server = await Server.StartAsync("hello");

        (await GetAsync(server.Address.ToString())).ShouldBe("hello");
        (await GetAsync($"http+https://{server.Address.Authority}")).ShouldBe("hello");
        (await ResolveAsync("http://elsewhere.example:81")).ShouldBe(["elsewhere.example:81"]);
    }

    [Fact]
    public async Task Endpoints_take_turns()
    {
        await using var one = await Server.StartAsync("1");
        await using var two = await Server.StartAsync("2");
        _configuration["services:catalog:http:0"] = one.Address.ToString();
        _configuration["services:catalog:http:1"] = two.Address.ToString();

        var answers = new List<string>();
        for (var i = 0; i < 4; i++)
            answers.Add(await GetAsync("http://catalog"));

        answers[..2].ShouldBe(["1", "2"], ignoreOrder: true);
        answers[2..].ShouldBe(answers[..2]);
    }

    [Fact]
    public async Task A_retry_goes_to_the_next_endpoint()
    {
        await using var bad = await Server.StartAsync(503);
        await using var good = await Server.StartAsync("good");
        _configuration["services:catalog:http:0"] = bad.Address.ToString();
        _configuration["services:catalog:http:1"] = good.Address.ToString();

        for (var i = 0; i < 3; i++)
            (await GetAsync("http://catalog", resilient: true)).ShouldBe("good");
        bad.Requests.Count.ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task A_change_of_configuration_is_seen()
    {
        await using var one = await Server.StartAsync("1");
        await using var two = await Server.StartAsync("2");
        _configuration["services:catalog:http:0"] = one.Address.ToString();
        (await GetAsync("http://catalog")).ShouldBe("1");

        _configuration["services:catalog:http:0"] = two.Address.ToString();
        ((IConfigurationRoot)_configuration).Reload();

        // the real package refreshes in the background and may give the old answer once more
        await Eventually.Async(async () => (await GetAsync("http://catalog")).ShouldBe("2"), cancellationToken: Cancelled);
    }

    [Fact]
    public async Task A_service_that_is_configured_later_is_seen()
    {
        (await ResolveAsync("http://catalog")).ShouldBe(["catalog:80"]);

        _configuration["services:catalog:http:0"] = "http://catalog.example:8080";
        ((IConfigurationRoot)_configuration).Reload();

        await Eventually.Async(
            async () => (await ResolveAsync("http://catalog")).ShouldBe(["http://catalog.example:8080/"]), cancellationToken: Cancelled);
    }

    [Fact]
    public async Task An_address_that_is_none_is_an_error()
    {
        _configuration["services:catalog:http:0"] = "http://";
        await Should.ThrowAsync<KeyNotFoundException>(() => ResolveAsync("http://catalog"));
    }

    [Fact]
    public async Task An_index_that_is_no_number_is_an_error()
    {
        _configuration["services:catalog:http:first"] = "http://catalog.example";
        await Should.ThrowAsync<KeyNotFoundException>(() => ResolveAsync("http://catalog"));
    }

    [Fact]
    public async Task Only_allowed_schemes_are_used()
    {
        _configuration["services:catalog:https:0"] = "https://catalog.example";
        _configuration["services:catalog:http:0"] = "http://catalog.example";

        (await ResolveAsync("http+https://catalog", options =>
        {
            options.AllowAllSchemes = false;
            options.AllowedSchemes = ["https"];
        })).ShouldBe(["https://catalog.example/"]);
    }

    [Fact]
    public void Requested_schemes_are_cut_down_to_the_allowed_ones()
    {
        var options = new ServiceDiscoveryOptions { AllowedSchemes = ["https", "grpc"] };
        options.AllowAllSchemes.ShouldBeTrue();
        options.RefreshPeriod.ShouldBe(TimeSpan.FromSeconds(60));
        options.ApplyAllowedSchemes(["http", "https"]).ShouldBe(["http", "https"]);

        options.AllowAllSchemes = false;
        options.ApplyAllowedSchemes(["http", "HTTPS"]).ShouldBe(["HTTPS"]);
        options.ApplyAllowedSchemes([]).ShouldBe(["https", "grpc"]);
    }

    public ValueTask DisposeAsync() => _services?.DisposeAsync() ?? ValueTask.CompletedTask;

    private ServiceProvider Services(Action<ServiceDiscoveryOptions>? configure = null)
    {
        if (_services is not null)
            return _services;

        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(_configuration);
        services.AddLogging();
        services.AddServiceDiscovery(configure ?? (_ => { }));
        services.AddHttpClient("plain").AddServiceDiscovery();
        var resilient = services.AddHttpClient("resilient");
        resilient.AddStandardResilienceHandler(options => options.Retry.Delay = TimeSpan.Zero);
        resilient.AddServiceDiscovery();
        return _services = services.BuildServiceProvider();
    }

    private Task<string> GetAsync(string url, bool resilient = false) =>
        Services().GetRequiredService<IHttpClientFactory>().CreateClient(resilient ? "resilient" : "plain").GetStringAsync(url, Cancelled);

    private async Task<IReadOnlyList<string>> ResolveAsync(string service, Action<ServiceDiscoveryOptions>? configure = null)
    {
        var source = await Services(configure).GetRequiredService<ServiceEndpointResolver>().GetEndpointsAsync(service, Cancelled);
        return [.. source.Endpoints.Select(endpoint => endpoint.ToString()!)];
    }
}
