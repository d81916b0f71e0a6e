using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>A handler's pipeline.</summary>
public interface IHttpResiliencePipelineBuilder
{
    /// <summary>Gets the pipeline's name: the client's name and the pipeline's own.</summary>
    string PipelineName { get; }

    /// <summary>Gets the services.</summary>
    IServiceCollection Services { get; }
}

/// <summary>A standard handler's pipeline.</summary>
public interface IHttpStandardResiliencePipelineBuilder
{
    /// <summary>Gets the pipeline's name, which is also that of its options.</summary>
    string PipelineName { get; }

    /// <summary>Gets the services.</summary>
    IServiceCollection Services { get; }
}

/// <summary>How a pipeline chooses its instance.</summary>
public static class HttpResiliencePipelineBuilderExtensions
{
    /// <summary>Gives each scheme, host and port a pipeline instance of its own.</summary>
    public static IHttpResiliencePipelineBuilder SelectPipelineByAuthority(this IHttpResiliencePipelineBuilder builder) =>
        builder.SelectPipelineBy(static _ => HttpPipelines.Authority);

    /// <summary>Gives each key that the selector returns a pipeline instance of its own.</summary>
    public static IHttpResiliencePipelineBuilder SelectPipelineBy(
        this IHttpResiliencePipelineBuilder builder, Func<IServiceProvider, Func<HttpRequestMessage, string>> selectorFactory)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(selectorFactory);
        HttpPipelines.SelectBy(builder.Services, builder.PipelineName, selectorFactory);
        return builder;
    }
}

/// <summary>The options of a standard pipeline and how it chooses its instance.</summary>
public static class HttpStandardResiliencePipelineBuilderExtensions
{
    /// <summary>Binds the options to a configuration section.</summary>
    /// <exception cref="ArgumentException">The section is empty.</exception>
    /// <remarks>A key that the options do not have fails when the options are first read.</remarks>
    public static IHttpStandardResiliencePipelineBuilder Configure(this IHttpStandardResiliencePipelineBuilder builder, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(section);
        if (!section.GetChildren().Any())
            throw new ArgumentException("Configuration section cannot be empty.", nameof(section));

        builder.Services.Configure<HttpStandardResilienceOptions>(
            builder.PipelineName, section, binder => binder.ErrorOnUnknownConfiguration = true);
        return builder;
    }

    /// <summary>Configures the options.</summary>
    public static IHttpStandardResiliencePipelineBuilder Configure(
        this IHttpStandardResiliencePipelineBuilder builder, Action<HttpStandardResilienceOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        return builder.Configure((options, _) => configure(options));
    }

    /// <summary>Configures the options with the help of services.</summary>
    public static IHttpStandardResiliencePipelineBuilder Configure(
        this IHttpStandardResiliencePipelineBuilder builder, Action<HttpStandardResilienceOptions, IServiceProvider> configure)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        builder.Services.AddOptions<HttpStandardResilienceOptions>(builder.PipelineName).Configure(configure);
        return builder;
    }

    /// <summary>Gives each scheme, host and port a pipeline instance of its own.</summary>
    public static IHttpStandardResiliencePipelineBuilder SelectPipelineByAuthority(this IHttpStandardResiliencePipelineBuilder builder) =>
        builder.SelectPipelineBy(static _ => HttpPipelines.Authority);

    /// <summary>Gives each key that the selector returns a pipeline instance of its own.</summary>
    public static IHttpStandardResiliencePipelineBuilder SelectPipelineBy(
        this IHttpStandardResiliencePipelineBuilder builder, Func<IServiceProvider, Func<HttpRequestMessage, string>> selectorFactory)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(selectorFactory);
        HttpPipelines.SelectBy(builder.Services, builder.PipelineName, selectorFactory);
        return builder;
    }
}
