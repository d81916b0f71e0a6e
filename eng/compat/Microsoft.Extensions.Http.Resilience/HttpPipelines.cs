using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Polly;
using Polly.Registry;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>One pipeline instance: its definition's name and what the selector returned for the request.</summary>
internal readonly record struct HttpPipelineKey(string Name, string InstanceName)
{
    public static readonly IEqualityComparer<HttpPipelineKey> ByName =
        EqualityComparer<HttpPipelineKey>.Create((x, y) => x.Name == y.Name, key => key.Name.GetHashCode(StringComparison.Ordinal));
}

/// <summary>How one named pipeline chooses its instance for a request. Null: there is one instance.</summary>
internal sealed class HttpPipelineSelectorOptions
{
    public Func<HttpRequestMessage, string>? Selector { get; set; }
}

internal sealed class HttpPipelineDefinitions
{
    public List<(string Name, Action<ResiliencePipelineBuilder<HttpResponseMessage>, ResilienceHandlerContext> Configure)> All { get; } = [];
}

/// <summary>The container's pipelines.</summary>
internal sealed class HttpPipelines : IAsyncDisposable, IDisposable
{
    private readonly ResiliencePipelineRegistry<HttpPipelineKey> _registry;
    private readonly IServiceProvider _services;

    public HttpPipelines(IServiceProvider services, IOptions<HttpPipelineDefinitions> definitions)
    {
        _services = services;
        _registry = new ResiliencePipelineRegistry<HttpPipelineKey>(new ResiliencePipelineRegistryOptions<HttpPipelineKey>
        {
            BuilderFactory = services.GetRequiredService<ResiliencePipelineBuilder>,
            BuilderComparer = HttpPipelineKey.ByName,
            BuilderNameFormatter = key => key.Name,
            InstanceNameFormatter = key => key.InstanceName,
        });

        foreach (var (name, configure) in definitions.Value.All)
        {
            _registry.TryAddBuilder<HttpResponseMessage>(
                new HttpPipelineKey(name, string.Empty),
                (builder, context) => configure(builder, new ResilienceHandlerContext(context, services)));
        }
    }

    public static void Register(
        IServiceCollection services, string name, Action<ResiliencePipelineBuilder<HttpResponseMessage>, ResilienceHandlerContext> configure)
    {
        services.TryAddSingleton<HttpPipelines>();
        services.TryAddTransient(provider =>
        {
            var builder = new ResiliencePipelineBuilder();
            if (provider.GetService<TimeProvider>() is { } timeProvider)
                builder.TimeProvider = timeProvider;
            return builder;
        });
        services.Configure<HttpPipelineDefinitions>(definitions => definitions.All.Add((name, configure)));
    }

    public static void SelectBy(IServiceCollection services, string name, Func<IServiceProvider, Func<HttpRequestMessage, string>> selectorFactory) =>
        services.AddOptions<HttpPipelineSelectorOptions>(name)
            .Configure<IServiceProvider>((options, provider) => options.Selector = selectorFactory(provider));

    public static string Authority(HttpRequestMessage request) =>
        (request.RequestUri ?? throw new InvalidOperationException("The request message must have a URL specified.")).GetLeftPart(UriPartial.Authority);

    public ResilienceHandler CreateHandler(string name)
    {
        var selector = _services.GetRequiredService<IOptionsMonitor<HttpPipelineSelectorOptions>>().Get(name).Selector;
        return selector is null
            ? new ResilienceHandler(_registry.GetPipeline<HttpResponseMessage>(new HttpPipelineKey(name, string.Empty)))
            : new ResilienceHandler(request => _registry.GetPipeline<HttpResponseMessage>(new HttpPipelineKey(name, selector(request))));
    }

    public void Dispose() => _registry.Dispose();

    public ValueTask DisposeAsync() => _registry.DisposeAsync();
}
