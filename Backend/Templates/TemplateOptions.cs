using System.ComponentModel.DataAnnotations;

namespace Platform.Backend.Templates;

/// <summary>Configuration <c>Templates</c>: how Backend caches the registry's answers.</summary>
internal sealed class TemplateOptions
{
    /// <summary>How long an answer is fresh, i.e. returned from the cache without calling the registry. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")]
    public TimeSpan FreshFor { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Time-out of calls to the registry if there is a cached answer. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Time-out of calls to the registry if there is no cached answer. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan Deadline { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>After a time-out (<see cref="Patience"/>), how long cached answers are returned without calling the registry. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan AskAgainAfter { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How often the whole catalog is fetched in the background, so that it is cached when the registry becomes unavailable. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")]
    public TimeSpan RefreshEvery { get; set; } = TimeSpan.FromSeconds(60);
}
