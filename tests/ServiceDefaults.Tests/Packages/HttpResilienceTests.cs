#pragma warning disable EXTEXP0001 // experimental in name only: ServiceDefaults relies on them

using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Http.Resilience;
using Microsoft.Extensions.Options;
using Platform.TestSupport;
using Polly;
using Polly.CircuitBreaker;
using Polly.RateLimiting;
using Polly.Timeout;

namespace Platform.ServiceDefaults.Tests.Packages;

/// <summary>What ServiceDefaults relies on from Microsoft.Extensions.Http.Resilience.</summary>
public sealed class HttpResilienceTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public void The_standard_options_have_the_documented_defaults()
    {
        var options = new HttpStandardResilienceOptions();

        options.RateLimiter.DefaultRateLimiterOptions.PermitLimit.ShouldBe(1000);
        options.RateLimiter.DefaultRateLimiterOptions.QueueLimit.ShouldBe(0);
        options.RateLimiter.RateLimiter.ShouldBeNull();
        options.TotalRequestTimeout.Timeout.ShouldBe(TimeSpan.FromSeconds(30));
        options.Retry.MaxRetryAttempts.ShouldBe(3);
        options.Retry.Delay.ShouldBe(TimeSpan.FromSeconds(2));
        options.Retry.BackoffType.ShouldBe(DelayBackoffType.Exponential);
        options.Retry.UseJitter.ShouldBeTrue();
        options.Retry.ShouldRetryAfterHeader.ShouldBeTrue();
        options.CircuitBreaker.FailureRatio.ShouldBe(0.1);
        options.CircuitBreaker.MinimumThroughput.ShouldBe(100);
        options.CircuitBreaker.SamplingDuration.ShouldBe(TimeSpan.FromSeconds(30));
        options.CircuitBreaker.BreakDuration.ShouldBe(TimeSpan.FromSeconds(5));
        options.AttemptTimeout.Timeout.ShouldBe(TimeSpan.FromSeconds(10));
    }

    [Theory]
    [InlineData(408, true)]
    [InlineData(429, true)]
    [InlineData(500, true)]
    [InlineData(501, true)]
    [InlineData(503, true)]
    [InlineData(200, false)]
    [InlineData(301, false)]
    [InlineData(400, false)]
    [InlineData(404, false)]
    [InlineData(409, false)]
    public void These_responses_are_transient(int status, bool transient)
    {
        using var response = new HttpResponseMessage((HttpStatusCode)status);
        HttpClientResiliencePredicates.IsTransient(Outcome.FromResult(response)).ShouldBe(transient);
    }

    [Fact]
    public void These_exceptions_are_transient()
    {
        static bool IsTransient(Exception exception) => HttpClientResiliencePredicates.IsTransient(Outcome.FromException<HttpResponseMessage>(exception));

        IsTransient(new HttpRequestException()).ShouldBeTrue();
        IsTransient(new TimeoutRejectedException()).ShouldBeTrue();
        IsTransient(new BrokenCircuitException()).ShouldBeFalse();
        IsTransient(new OperationCanceledException()).ShouldBeFalse();
        IsTransient(new IOException()).ShouldBeFalse();
    }

    [Fact]
    public async Task A_transient_answer_is_retried_until_a_good_one_comes()
    {
        await using var server = await Server.StartAsync(503, 500, 200);
        await using var services = Services(standard => standard.Configure(o => o.Retry.Delay = TimeSpan.Zero));

        using var response = await Client(services).GetAsync(server.Address, Cancelled);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        server.Requests.Count.ShouldBe(3);
    }

    [Fact]
    public async Task The_last_answer_is_returned_when_the_retries_are_used_up()
    {
        await using var server = await Server.StartAsync(503);
        await using var services = Services(standard => standard.Configure(o => o.Retry.Delay = TimeSpan.Zero));

        using var response = await Client(services).GetAsync(server.Address, Cancelled);

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        server.Requests.Count.ShouldBe(4);
    }

    [Fact]
    public async Task Content_is_sent_again_with_each_attempt()
    {
        var bodies = new List<string>();
        await using var server = await Server.StartAsync(async (context, number) =>
        {
            bodies.Add(await new StreamReader(context.Request.Body).ReadToEndAsync());
            context.Response.StatusCode = number < 3 ? 503 : 200;
        });
        await using var services = Services(standard => standard.Configure(o => o.Retry.Delay = TimeSpan.Zero));

        using var response = await Client(services).PostAsync(server.Address, new StringContent("hello"), Cancelled);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        bodies.ShouldBe(["hello", "hello", "hello"]);
    }

    [Theory]
    [InlineData("POST", 1)]
    [InlineData("PUT", 1)]
    [InlineData("PATCH", 1)]
    [InlineData("DELETE", 1)]
    [InlineData("GET", 4)]
    [InlineData("HEAD", 4)]
    [InlineData("OPTIONS", 4)]
    public async Task Unsafe_methods_are_sent_once_when_retries_are_disabled_for_them(string method, int requests)
    {
        await using var server = await Server.StartAsync(503);
        await using var services = Services(standard => standard.Configure(o =>
        {
            o.Retry.Delay = TimeSpan.Zero;
            o.Retry.DisableForUnsafeHttpMethods();
        }));

        using var request = new HttpRequestMessage(new HttpMethod(method), server.Address);
        using var response = await Client(services).SendAsync(request, Cancelled);

        server.Requests.Count.ShouldBe(requests);
    }

    [Fact]
    public async Task A_failed_connection_is_not_retried_for_an_unsafe_method_either()
    {
        var retries = 0;
        await using var services = Services(standard => standard.Configure(o =>
        {
            o.Retry.Delay = TimeSpan.Zero;
            o.Retry.OnRetry = _ =>
            {
                retries++;
                return default;
            };
            o.Retry.DisableForUnsafeHttpMethods();
        }));
        var client = Client(services);
        var nowhere = await UnusedAddressAsync();

        await Should.ThrowAsync<HttpRequestException>(() => client.PostAsync(nowhere, new StringContent(""), Cancelled));
        retries.ShouldBe(0);
        await Should.ThrowAsync<HttpRequestException>(() => client.GetAsync(nowhere, Cancelled));
        retries.ShouldBe(3);
    }

    [Fact]
    public async Task Retry_After_replaces_the_delay_and_is_not_capped()
    {
        await using var server = await Server.StartAsync((context, _) =>
        {
            context.Response.StatusCode = 503;
            context.Response.Headers.RetryAfter = "1800";
            return Task.CompletedTask;
        });
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        var delay = TimeSpan.Zero;
        await using var services = Services(standard => standard.Configure(o =>
        {
            o.TotalRequestTimeout.Timeout = TimeSpan.FromHours(1);
            o.Retry.MaxDelay = TimeSpan.FromSeconds(1);
            o.Retry.OnRetry = args =>
            {
                delay = args.RetryDelay;
                return new ValueTask(enough.CancelAsync());
            };
        }));

        await Should.ThrowAsync<OperationCanceledException>(() => Client(services).GetAsync(server.Address, enough.Token));

        delay.ShouldBe(TimeSpan.FromMinutes(30));
    }

    [Fact]
    public void Retry_After_is_ignored_when_it_is_turned_off() =>
        new HttpRetryStrategyOptions { ShouldRetryAfterHeader = false }.DelayGenerator.ShouldBeNull();

    [Fact]
    public async Task An_attempt_that_takes_too_long_is_given_up_and_retried()
    {
        var arrived = new TaskCompletionSource();
        await using var server = await Server.StartAsync((context, number) =>
        {
            if (number > 1)
                return Task.CompletedTask;

            arrived.SetResult();
            return Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        var time = new FakeTimeProvider();
        await using var services = Services(standard => standard.Configure(o => o.Retry.Delay = TimeSpan.Zero), time);

        var sending = Client(services).GetAsync(server.Address, Cancelled);
        await arrived.Task.WaitAsync(TimeSpan.FromSeconds(10));
        time.Advance(TimeSpan.FromSeconds(10));

        (await sending).StatusCode.ShouldBe(HttpStatusCode.OK);
        server.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task The_total_timeout_ends_a_call_with_all_its_attempts()
    {
        using var arrived = new SemaphoreSlim(0);
        await using var server = await Server.StartAsync((context, _) =>
        {
            arrived.Release();
            return Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        var time = new FakeTimeProvider();
        await using var services = Services(standard => standard.Configure(o => o.Retry.Delay = TimeSpan.Zero), time);

        var sending = Client(services).GetAsync(server.Address, Cancelled);
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            (await arrived.WaitAsync(TimeSpan.FromSeconds(10), Cancelled)).ShouldBeTrue();
            sending.IsCompleted.ShouldBeFalse();
            time.Advance(TimeSpan.FromSeconds(10));
        }

        (await Should.ThrowAsync<TimeoutRejectedException>(() => sending)).Timeout.ShouldBe(TimeSpan.FromSeconds(30));
        server.Requests.Count.ShouldBe(3);
    }

    [Fact]
    public async Task More_concurrent_calls_than_the_limit_are_refused_at_once()
    {
        var arrived = new TaskCompletionSource();
        var answer = new TaskCompletionSource();
        await using var server = await Server.StartAsync(async (_, _) =>
        {
            arrived.SetResult();
            await answer.Task;
        });
        await using var services = Services(standard => standard.Configure(o => o.RateLimiter.DefaultRateLimiterOptions.PermitLimit = 1));
        var client = Client(services);

        var first = client.GetAsync(server.Address, Cancelled);
        await arrived.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await Should.ThrowAsync<RateLimiterRejectedException>(() => client.GetAsync(server.Address, Cancelled));
        answer.SetResult();

        (await first).StatusCode.ShouldBe(HttpStatusCode.OK);
        server.Requests.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_open_breaker_concerns_its_own_authority_when_pipelines_are_selected_by_it(bool byAuthority)
    {
        await using var bad = await Server.StartAsync(500);
        await using var good = await Server.StartAsync(200);
        await using var services = Services(standard =>
        {
            standard.Configure(o =>
            {
                o.Retry.ShouldHandle = _ => PredicateResult.False();
                o.CircuitBreaker.MinimumThroughput = 2;
            });
            if (byAuthority)
                standard.SelectPipelineByAuthority();
        });
        var client = Client(services);

        for (var i = 0; i < 2; i++)
            (await client.GetAsync(bad.Address, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        await Should.ThrowAsync<BrokenCircuitException>(() => client.GetAsync(bad.Address, Cancelled));

        if (byAuthority)
            (await client.GetAsync(good.Address, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
        else
            await Should.ThrowAsync<BrokenCircuitException>(() => client.GetAsync(good.Address, Cancelled));
        bad.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task After_the_break_one_good_call_closes_the_breaker()
    {
        await using var server = await Server.StartAsync(500, 500, 200);
        var time = new FakeTimeProvider();
        await using var services = Services(
            standard => standard.Configure(o =>
            {
                o.Retry.ShouldHandle = _ => PredicateResult.False();
                o.CircuitBreaker.MinimumThroughput = 2;
            }),
            time);
        var client = Client(services);
        await client.GetAsync(server.Address, Cancelled);
        await client.GetAsync(server.Address, Cancelled);
        await Should.ThrowAsync<BrokenCircuitException>(() => client.GetAsync(server.Address, Cancelled));

        time.Advance(TimeSpan.FromSeconds(6));

        (await client.GetAsync(server.Address, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await client.GetAsync(server.Address, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_pipeline_has_the_say_over_time_and_not_the_client()
    {
        await using var services = Services(_ => { });
        Client(services).Timeout.ShouldBe(Timeout.InfiniteTimeSpan);
    }

    [Fact]
    public async Task The_handler_reaches_every_client_through_the_defaults()
    {
        await using var server = await Server.StartAsync(503, 200);
        await using var services = new ServiceCollection()
            .ConfigureHttpClientDefaults(http => http.AddStandardResilienceHandler(o => o.Retry.Delay = TimeSpan.Zero))
            .AddHttpClient("any").Services
            .BuildServiceProvider();

        using var response = await services.GetRequiredService<IHttpClientFactory>().CreateClient("any").GetAsync(server.Address, Cancelled);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        server.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public async Task Handlers_that_are_removed_do_nothing_and_later_ones_count()
    {
        await using var server = await Server.StartAsync(503);
        await using var services = new ServiceCollection()
            .ConfigureHttpClientDefaults(http => http.AddStandardResilienceHandler(o => o.Retry.Delay = TimeSpan.Zero))
            .AddHttpClient("test")
            .RemoveAllResilienceHandlers()
            .AddResilienceHandler("own", pipeline => pipeline.AddRetry(new HttpRetryStrategyOptions { MaxRetryAttempts = 1, Delay = TimeSpan.Zero }))
            .Services.BuildServiceProvider();

        using var response = await Client(services).GetAsync(server.Address, Cancelled);

        server.Requests.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("AttemptTimeout:Timeout", "00:00:31")]
    [InlineData("TotalRequestTimeout:Timeout", "00:00:09")]
    [InlineData("CircuitBreaker:SamplingDuration", "00:00:19")]
    [InlineData("Retry:MaxRetryAttempts", "-1")]
    [InlineData("CircuitBreaker:FailureRatio", "1.5")]
    [InlineData("AttemptTimeout:Timeout", "2.00:00:00")]
    public async Task Options_that_make_no_sense_stop_the_host_from_starting(string key, string value)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection([new("Http:" + key, value)]);
        builder.Services.AddHttpClient("test").AddStandardResilienceHandler(builder.Configuration.GetSection("Http"));
        using var host = builder.Build();

        await Should.ThrowAsync<OptionsValidationException>(() => host.StartAsync(Cancelled));
    }

    [Fact]
    public async Task The_defaults_pass_validation()
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddHttpClient("test").AddStandardResilienceHandler();
        using var host = builder.Build();

        await host.StartAsync(Cancelled);
        await host.StopAsync(Cancelled);
    }

    [Fact]
    public void An_empty_configuration_section_is_an_error()
    {
        var section = new ConfigurationBuilder().Build().GetSection("Http");
        Should.Throw<ArgumentException>(() => new ServiceCollection().AddHttpClient("test").AddStandardResilienceHandler(section));
    }

    [Fact]
    public async Task A_misspelt_setting_is_an_error()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([new("Http:Retry:MaxAttempts", "1")]).Build();
        await using var services = Services(standard => standard.Configure(configuration.GetSection("Http")));

        var error = Should.Throw<InvalidOperationException>(() => Client(services));
        error.Message.ShouldContain("MaxAttempts");
    }

    [Fact]
    public async Task A_change_of_configuration_takes_effect_without_a_restart()
    {
        await using var server = await Server.StartAsync(503);
        var configuration = new ConfigurationManager();
        configuration["Http:Retry:MaxRetryAttempts"] = "1";
        configuration["Http:Retry:Delay"] = "00:00:00";
        await using var services = Services(standard => standard.Configure(configuration.GetSection("Http")));
        var client = Client(services);

        await client.GetAsync(server.Address, Cancelled);
        server.Requests.Count.ShouldBe(2);

        configuration["Http:Retry:MaxRetryAttempts"] = "4";
        ((IConfigurationRoot)configuration).Reload();

        await client.GetAsync(server.Address, Cancelled);
        server.Requests.Count.ShouldBe(2 + 5);
    }

    [Fact]
    public async Task A_named_pipeline_knows_its_names_its_options_and_when_it_is_replaced()
    {
        await using var server = await Server.StartAsync(200);
        var configuration = new ConfigurationManager();
        configuration["Value"] = "one";
        var seen = new List<string>();
        var disposed = 0;
        var services = new ServiceCollection();
        services.Configure<Setting>("mine", configuration);
        services.AddHttpClient("test").AddResilienceHandler("own", (pipeline, context) =>
        {
            context.EnableReloads<Setting>("mine");
            context.OnPipelineDisposed(() => disposed++);
            seen.Add($"{context.BuilderName} {context.InstanceName} {context.GetOptions<Setting>("mine").Value}");
            pipeline.AddTimeout(TimeSpan.FromSeconds(10));
        }).SelectPipelineByAuthority();
        await using (var provider = services.BuildServiceProvider())
        {
            var client = Client(provider);
            var authority = server.Address.GetLeftPart(UriPartial.Authority);

            await client.GetAsync(server.Address, Cancelled);
            await client.GetAsync(server.Address, Cancelled);
            seen.ShouldBe([$"test-own {authority} one"]);

            configuration["Value"] = "two";
            ((IConfigurationRoot)configuration).Reload();
            await client.GetAsync(server.Address, Cancelled);
            seen.ShouldBe([$"test-own {authority} one", $"test-own {authority} two"]);
            disposed.ShouldBe(1);
        }

        disposed.ShouldBe(2);
    }

    [Fact]
    public async Task A_selector_chooses_the_pipeline_of_each_request()
    {
        await using var server = await Server.StartAsync(200);
        var built = new List<string>();
        var services = new ServiceCollection();
        services.AddHttpClient("test")
            .AddResilienceHandler("own", (pipeline, context) =>
            {
                built.Add(context.InstanceName);
                pipeline.AddTimeout(TimeSpan.FromSeconds(10));
            })
            .SelectPipelineBy(_ => request => request.Method.Method);
        await using var provider = services.BuildServiceProvider();
        var client = Client(provider);
        built.Clear(); // the real package tries the selector, not the pipeline, when the client is made

        await client.GetAsync(server.Address, Cancelled);
        await client.PostAsync(server.Address, null, Cancelled);
        await client.GetAsync(server.Address, Cancelled);

        built.ShouldBe(["GET", "POST"]);
    }

    [Fact]
    public async Task Strategies_see_the_request_and_handlers_the_context()
    {
        await using var server = await Server.StartAsync(503, 200);
        var key = new ResiliencePropertyKey<string>("note");
        var requests = new List<HttpRequestMessage?>();
        var notes = new List<string>();
        var services = new ServiceCollection();
        services.AddHttpClient("test")
            .AddHttpMessageHandler(() => new Handler(request => request.GetResilienceContext().ShouldBeNull()))
            .AddResilienceHandler("own", pipeline => pipeline.AddRetry(new HttpRetryStrategyOptions
            {
                Delay = TimeSpan.Zero,
                OnRetry = args =>
                {
                    requests.Add(args.Context.GetRequestMessage());
                    args.Context.Properties.Set(key, $"retry {args.AttemptNumber}");
                    return default;
                },
            }));
        services.ConfigureAll<Microsoft.Extensions.Http.HttpClientFactoryOptions>(options => options.HttpMessageHandlerBuilderActions.Add(builder =>
            builder.AdditionalHandlers.Add(new Handler(request =>
                notes.Add(request.GetResilienceContext()!.Properties.GetValue(key, "first"))))));
        await using var provider = services.BuildServiceProvider();

        using var request = new HttpRequestMessage(HttpMethod.Get, server.Address);
        using var response = await Client(provider).SendAsync(request, Cancelled);

        requests.ShouldBe([request]);
        notes.ShouldBe(["first", "retry 0"]);
        request.GetResilienceContext().ShouldBeNull();
    }

    [Fact]
    public async Task A_cancelled_call_is_a_cancelled_call()
    {
        await using var server = await Server.StartAsync((context, _) => Task.Delay(Timeout.Infinite, context.RequestAborted));
        await using var services = Services(_ => { });
        using var cancellation = new CancellationTokenSource();

        var sending = Client(services).GetAsync(server.Address, cancellation.Token);
        await cancellation.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => sending);
    }

    private static ServiceProvider Services(Action<IHttpStandardResiliencePipelineBuilder> configure, TimeProvider? time = null)
    {
        var services = new ServiceCollection();
        if (time is not null)
            services.AddSingleton(time);
        configure(services.AddHttpClient("test").AddStandardResilienceHandler());
        return services.BuildServiceProvider();
    }

    private static HttpClient Client(IServiceProvider services) => services.GetRequiredService<IHttpClientFactory>().CreateClient("test");

    private static async Task<Uri> UnusedAddressAsync()
    {
        await using var server = await Server.StartAsync(200);
        return server.Address;
    }

    private sealed class Handler(Action<HttpRequestMessage> onSend) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            onSend(request);
            return base.SendAsync(request, cancellationToken);
        }
    }

    private sealed class Setting
    {
        public string Value { get; set; } = "";
    }
}
