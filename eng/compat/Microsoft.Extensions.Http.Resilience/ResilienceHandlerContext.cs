using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Polly.Registry;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>What a handler's pipeline is built with.</summary>
public sealed class ResilienceHandlerContext
{
    private readonly ConfigureBuilderContext<HttpPipelineKey> _context;

    internal ResilienceHandlerContext(ConfigureBuilderContext<HttpPipelineKey> context, IServiceProvider serviceProvider)
    {
        _context = context;
        ServiceProvider = serviceProvider;
    }

    /// <summary>Gets the service provider.</summary>
    public IServiceProvider ServiceProvider { get; }

    /// <summary>Gets the pipeline's name.</summary>
    public string BuilderName => _context.PipelineKey.Name;

    /// <summary>Gets the name of the pipeline's instance: what the pipeline selector returned, or empty without one.</summary>
    public string InstanceName => _context.PipelineKey.InstanceName;

    /// <summary>Builds the pipeline again whenever the options change.</summary>
    /// <param name="name">The options' name; null for the unnamed ones.</param>
    public void EnableReloads<TOptions>(string? name = null)
    {
        var wanted = name ?? Options.Options.DefaultName;
        var changed = new CancellationTokenSource();
        var registration = ServiceProvider.GetRequiredService<IOptionsMonitor<TOptions>>().OnChange((_, changedName) =>
        {
            if (string.Equals(wanted, changedName ?? Options.Options.DefaultName, StringComparison.Ordinal))
                changed.Cancel();
        });

        _context.AddReloadToken(changed.Token);
        _context.OnPipelineDisposed(() =>
        {
            registration?.Dispose();
            changed.Dispose();
        });
    }

    /// <summary>Gets the current options.</summary>
    /// <param name="name">The options' name; null for the unnamed ones.</param>
    public TOptions GetOptions<TOptions>(string? name = null) =>
        ServiceProvider.GetRequiredService<IOptionsMonitor<TOptions>>().Get(name ?? Options.Options.DefaultName);

    /// <summary>Calls back when the pipeline, or the one that a reload replaces, is disposed of.</summary>
    public void OnPipelineDisposed(Action callback) => _context.OnPipelineDisposed(callback);
}
